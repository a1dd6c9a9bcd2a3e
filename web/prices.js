// What tokens cost elsewhere, in US dollars for a million: list prices of one request at a time.
// hit: input that is cached, miss: input that is new, out: thoughts and answers.
export const prices = [
  // Off-peak; twice as much on weekdays 01:00-04:00 and 06:00-10:00 UTC.
  { who: "DeepSeek", model: "deepseek-flash", date: "2026-10", hit: 0.003, miss: 0.15, out: 0.6 },
  // Short contexts, without the price of writing to the cache.
  { who: "OpenAI", model: "gpt-6.2-sol", date: "2026-11", hit: 0.1, miss: 2, out: 10 },
];

// Of tokens {hit, miss, out}.
export const dollars = (price, toks) => (toks.hit * price.hit + toks.miss * price.miss + toks.out * price.out) / 1e6;
