// Elements of the page: finding and making them.

export const $ = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name in e && name !== "role") e[name] = value;
    else e.setAttribute(name, value);
  e.append(...children);
  return e;
}
