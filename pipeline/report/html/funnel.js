// The funnel as a Sankey that flows down: sources come in from the left, what is dropped leaves to the right.

import { el, pressable, section, svg } from "./dom.js";
import { count, say, sayReason, share } from "./words.js";

const LINE = 22;
const SHOWN = 6;
const THIN = 3;

export function funnelSection(facts, pick) {
  const holder = el("div", { class: "picture" });
  const watch = new ResizeObserver(() => draw(holder, facts, pick));
  watch.observe(holder);
  return section("funnel", say("funnel"), say("funnel.lead"), holder);
}

function draw(holder, facts, pick) {
  const width = holder.clientWidth;
  if (!width || Number(holder.dataset.width) === width) return;
  holder.dataset.width = width;
  const sources = facts.funnel.stages.filter((stage) => stage.source != null);
  const stages = facts.funnel.stages.filter((stage) => stage.source == null || stage.reasons.length);
  const total = sources.reduce((sum, source) => sum + source.read, 0) || 1;
  const narrow = width < 640;
  const x = narrow ? 76 : 190;
  const band = narrow ? Math.min(84, width * 0.24) : Math.min(270, width * 0.28);
  const scale = band / total;
  const out = x + band + (narrow ? 14 : 110);
  const enter = x - (narrow ? 8 : 56);
  const figures = 14 + 7.5 * Math.max(0, ...stages.flatMap((stage) => stage.reasons.map(([, n]) => count(n).length)));
  const picture = svg("svg", { width, role: "group", "aria-label": say("funnel") });

  let y = 14;
  let right = x + band;
  const tops = [];
  for (const source of sources) {
    const thick = Math.max(source.read * scale, 1);
    tops.push({ source, y, thick });
    y += Math.max(thick, 1.6 * LINE) + 6;
  }
  const top = y + 6;
  for (const { source, y: at, thick } of tops) {
    const path = turnIn(enter, at, thick, right - thick, right, top);
    const label = `${source.source}: ${count(source.read)}`;
    const group = svg("g", { class: "flow source" }, svg("path", { d: path, class: thick < THIN && "thin" }), svg("title", {}, label));
    group.append(caption(enter - 6, at + Math.max(thick / 2 - 8, 4), source.source, "label end"));
    group.append(caption(enter - 6, at + Math.max(thick / 2 + 9, 21), count(source.read), "figure end"));
    pressable(group, label, () => pick({ source: source.source }));
    picture.append(group);
    right -= thick;
  }

  y = top;
  let held = total;
  for (const stage of stages) {
    const dropped = stage.reasons.reduce((sum, [, n]) => sum + n, 0);
    const reasons = merged(stage.reasons);
    const height = Math.max(reasons.reduce((sum, [, n]) => sum + Math.max(n * scale, LINE) + 3, 8), LINE + 8);
    const kept = held - dropped;
    picture.append(svg("path", { class: "band", d: `M${x},${y}h${kept * scale}v${height}h${-kept * scale}z` }));
    picture.append(caption(x - 14, y + 14, stage.stage, dropped ? "label end" : "label end quiet"));
    let edge = x + held * scale;
    let at = y + 8;
    for (const [reason, n] of reasons) {
      const thick = Math.max(n * scale, 1);
      const group = svg("g", { class: "flow drop" }, svg("path", { d: turnOut(edge - thick, edge, y, out, at, thick), class: thick < THIN && "thin" }));
      const label = reason == null ? say("funnel.more", { n: count(stage.reasons.length - SHOWN + 1) }) : sayReason(reason);
      const full = `${stage.stage}: ${label}, ${count(n)} (${share(n / stage.read, 2)})`;
      const middle = at + Math.max(thick / 2, 8);
      group.append(svg("title", {}, full), caption(out + figures, middle, count(n), "figure end"));
      group.append(caption(out + figures + 10, middle, label, "label"));
      if (!narrow) group.append(caption(Math.min(width - 4, out + figures + 290), middle, share(n / stage.read, 2), "figure end"));
      pressable(group, full, () => pick(reason == null ? { stage: stage.stage } : { stage: stage.stage, reason }));
      picture.append(group);
      edge -= thick;
      at += Math.max(thick, LINE) + 3;
    }
    held = kept;
    y += height;
  }
  const end = pressable(svg("g", { class: "flow kept" }), say("kept"), () => pick({ kept: true }));
  const tail = held * scale;
  end.append(svg("path", { d: `M${x},${y}h${tail}v18l${-tail / 2},14l${-tail / 2},-14z` }));
  end.append(caption(x - 14, y + 14, say("kept"), "label end strong"));
  end.append(caption(x + tail + 12, y + 14, `${count(facts.funnel.kept)} · ${share(facts.funnel.kept / total)}`, "figure strong"));
  picture.append(end);
  picture.setAttribute("height", y + 40);
  holder.replaceChildren(picture);
}

/** The most frequent reasons, and the others as one. */
function merged(reasons) {
  if (reasons.length <= SHOWN) return reasons;
  const rest = reasons.slice(SHOWN - 1).reduce((sum, [, n]) => sum + n, 0);
  return [...reasons.slice(0, SHOWN - 1), [null, rest]];
}

function turnIn(x0, y, thick, left, right, bottom) {
  return `M${x0},${y}C${right},${y} ${right},${y} ${right},${bottom}H${left}C${left},${y + thick} ${left},${y + thick} ${x0},${y + thick}z`;
}

function turnOut(left, right, y, x1, at, thick) {
  return `M${right},${y}C${right},${at} ${right},${at} ${x1},${at}v${thick}C${left},${at + thick} ${left},${at + thick} ${left},${y}z`;
}

function caption(x, y, content, className) {
  return svg("text", { x, y, class: className, "dominant-baseline": "middle" }, content);
}
