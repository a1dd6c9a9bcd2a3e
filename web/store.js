// Chats in the browser's own database.

const open = new Promise((resolve, reject) => {
  const request = indexedDB.open("minke", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("chats", { keyPath: "id" });
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function run(mode, work) {
  const db = await open;
  return new Promise((resolve, reject) => {
    const t = db.transaction("chats", mode);
    const request = work(t.objectStore("chats"));
    t.oncomplete = () => resolve(request.result);
    t.onabort = t.onerror = () => reject(t.error);
  });
}

export const all = async () => (await run("readonly", (s) => s.getAll())).sort((a, b) => b.updated - a.updated);
export const get = (id) => run("readonly", (s) => s.get(id));
export const put = (chat) => run("readwrite", (s) => s.put(chat));
export const remove = (id) => run("readwrite", (s) => s.delete(id));
