// Every sentence of the page in its languages, and numbers as these write them.

export const LANGUAGES = ["en", "zh"];
const spoken = { lang: "en", card: {} };
const formats = new Map();

export function speak(lang, card) {
  spoken.lang = LANGUAGES.includes(lang) ? lang : "en";
  spoken.card = card ?? spoken.card;
  document.documentElement.lang = spoken.lang;
}

export function language() {
  return spoken.lang;
}

/** The string of this key, `{names}` in it replaced. */
export function say(key, values = {}) {
  const text = STRINGS[key]?.[LANGUAGES.indexOf(spoken.lang)] ?? STRINGS[key]?.[0] ?? key;
  return filled(text, values);
}

/** A sentence of the card, whose English is its key. */
export function sayCard(text, values) {
  const found = spoken.lang === "zh" ? (spoken.card[text] ?? text) : text;
  return values ? filled(found, values) : found;
}

/** A reason of the ledger for people. */
export function sayReason(reason) {
  return STRINGS[`reason.${reason}`]?.[LANGUAGES.indexOf(spoken.lang)] ?? reason.replaceAll("_", " ");
}

export function count(n) {
  return written(n, {});
}

export function share(part, digits = 1) {
  if (!Number.isFinite(part)) return "–";
  return `${written(part * 100, { minimumFractionDigits: digits, maximumFractionDigits: digits })}%`;
}

/** A measure: four digits that matter, whole numbers whole. */
export function measure(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  return written(value, { maximumSignificantDigits: Number.isInteger(value) ? 12 : 4 });
}

/** How many of 1,000: 1.2 k, 3.4 M; for narrow places. */
export function brief(n) {
  return written(n, { notation: "compact", maximumFractionDigits: 1 });
}

/** By a formatter that is made once: making one takes longer than a thousand numbers. */
function written(n, options) {
  const key = `${spoken.lang} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(spoken.lang, options));
  return formats.get(key).format(n);
}

function filled(text, values) {
  // As Python formats the card: {n:,} counts, {share:.2%} shares.
  return text.replace(/\{(\w+)(?::([^}]*))?\}/g, (whole, name, form) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (form?.endsWith("%")) return share(value, Number(form.match(/\.(\d)/)?.[1] ?? 1));
    return typeof value === "number" ? measure(value) : String(value);
  });
}
