// What the corpus is made of: bars by language, source, licence, domain and year, and its tokens.

import { button, el, name, section } from "./dom.js";
import { languageName } from "./rules.js";
import { count, measure, say, share } from "./words.js";

const FIRST = 8;

export function contentSection(facts, pick) {
  const { composition } = facts;
  return section("content", say("content"), say("content.lead"),
    el("div", { class: "cards" },
      bars(say("languages"), composition.lang, (row) => languageName(row[0]), (row) => pick({ lang: row[0] ?? "" })),
      bars(say("sources"), composition.source, (row) => row[0], (row) => pick({ source: row[0] ?? "" })),
      bars(say("licences"), composition.license, (row) => row[0], (row) => pick({ license: row[0] ?? "" })),
      el("div", { class: "card", "data-fill": "domain", hidden: true }),
      el("div", { class: "card", "data-fill": "year", hidden: true })));
}

/** Domains and years are counted in the sample, once its columns are there. */
export function fillContent(facts, pick) {
  const { data, labels } = facts;
  const domains = new Map();
  const years = new Map();
  for (let row = 0; row < facts.documents.n; row++) {
    if (data.fate[row] || !data.sampled[row]) continue;
    const domain = data.domain[row];
    domains.set(domain, (domains.get(domain) ?? 0) + 1);
    years.set(data.year[row], (years.get(data.year[row]) ?? 0) + 1);
  }
  const named = [...domains].filter(([code]) => labels.domain[code]).sort((a, b) => b[1] - a[1]).map(([code, n]) => [labels.domain[code], n]);
  const dated = [...years].filter(([year]) => year).sort((a, b) => a[0] - b[0]).map(([year, n]) => [String(year), n]);
  put("domain", bars(say("domains"), named, (row) => row[0], (row) => pick({ domain: row[0] }), say("of.sample")), named.length);
  put("year", bars(say("years"), dated, (row) => row[0], (row) => pick({ year: Number(row[0]) }), say("of.sample"), dated.length), dated.length);
}

export function tokensSection(facts) {
  if (!facts.tokens.length) return null;
  const total = facts.tokens.reduce((sum, row) => sum + row[2], 0);
  const most = facts.tokens[0][2];
  const rows = facts.tokens.map(([lang, documents, tokens, bytes]) => el("tr", {},
    el("th", { scope: "row" }, languageName(lang)), el("td", {}, count(documents)), el("td", {}, count(tokens)),
    el("td", {}, el("span", { class: "bar keep", style: { "--size": tokens / most } }), share(tokens / total)),
    el("td", {}, measure(Math.round((bytes / tokens) * 100) / 100)), el("td", {}, count(Math.round(tokens / documents)))));
  const more = rows.length > FIRST && button(say("more", { n: count(rows.length - FIRST) }), () => {
    body.append(...rows.slice(FIRST));
    more.remove();
  }, { class: "link" });
  const body = el("tbody", {}, ...rows.slice(0, FIRST));
  const heads = ["language", "documents", "tokens", "share", "bytes.per.token", "tokens.per.document"];
  return section("tokens", say("tokens"), say("tokens.lead", { n: count(total) }),
    el("div", { class: "wide", tabindex: "0" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, say(head))))),
      body)), more);
}

/** Rows of name and documents; the first of them, and the others on demand. */
function bars(title, rows, label, press, note = "", first = FIRST) {
  const total = rows.reduce((sum, row) => sum + row[1], 0) || 1;
  const most = Math.max(...rows.map((row) => row[1]), 1);
  const list = el("ul", { class: "bars" }, ...rows.slice(0, first).map(item));
  function item(row) {
    const text = label(row) || say("none");
    return el("li", {}, el("button", { type: "button", title: `${text}: ${count(row[1])}`, on: { click: () => press(row) } },
      name(text), el("span", { class: "figure" }, count(row[1])), el("span", { class: "figure quiet" }, share(row[1] / total)),
      el("span", { class: "bar keep", style: { "--size": row[1] / most } })));
  }
  const more = rows.length > first && button(say("more", { n: count(rows.length - first) }), () => {
    list.append(...rows.slice(first, 400).map(item));
    more.remove();
  }, { class: "link" });
  return el("div", { class: "card" }, el("h3", {}, title, note && el("small", {}, note)), list, more);
}

function put(place, card, n) {
  const holder = document.querySelector(`#content [data-fill="${place}"]`);
  if (!holder || !n) return holder?.remove();
  card.dataset.fill = place;
  holder.replaceWith(card);
}
