// Parts of the panels of traces: their scales, their gaps, and the keys of the page.

import { token } from "./common.js";

const FEW_ROWS = 8;

/**
 * Put rows of one unit in their places by what is inside the window; returns the units from one to
 * the next. What it was before is kept while it nearly fits, so that a drag does not breathe.
 */
export function scaleOf(rows, before, [t0, t1]) {
  const sizes = [];
  for (const row of rows) {
    const { times, least, greatest } = row.source;
    let low = Infinity, high = -Infinity, sum = 0, seen = 0;
    for (let k = 0; k < times.length; k++) {
      if (times[k] < t0 || times[k] > t1 || !(least[k] <= greatest[k])) continue;
      if (least[k] < low) low = least[k];
      if (greatest[k] > high) high = greatest[k];
      sum += least[k] + greatest[k];
      seen += 2;
    }
    const isKnown = seen > 0 && Number.isFinite(sum);
    // Of few rows all shall be seen; of many the base line shall be beside the name.
    row.offset = !isKnown ? 0 : rows.length <= FEW_ROWS ? (low + high) / 2 : sum / seen;
    if (isKnown && high > low) sizes.push(high - low);
  }
  if (!sizes.length) return before || 1;
  sizes.sort((a, b) => a - b);
  const wanted = rows.length <= FEW_ROWS ? sizes[sizes.length - 1] * 1.05 : sizes[Math.floor(sizes.length / 2)] * 0.9;
  return before > 0 && wanted <= before && wanted > before * 0.35 ? before : wanted;
}

/** Shade the times without samples, before the traces are drawn over it. */
export function drawGaps(u, gaps, [t0, t1]) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const gap of gaps) {
    if (gap.stop < t0 || gap.start > t1) continue;
    const x = (t) => bbox.left + (Math.min(Math.max(t, t0), t1) - t0) / (t1 - t0) * bbox.width;
    ctx.fillStyle = token(gap.cause === "pause" ? "--sunk" : "--bad-wash");
    ctx.fillRect(x(gap.start), bbox.top, Math.max(devicePixelRatio, x(gap.stop) - x(gap.start)), bbox.height);
  }
  ctx.restore();
}

/** Keys of the page: of the traces those that would scroll, of fields none. */
export function listenToKeys(main, keys) {
  const scrolls = ["ArrowUp", "ArrowDown", "PageUp", "PageDown"];
  main.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input:not([type=checkbox]), select, textarea, summary");
    if (inField || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    if (scrolls.includes(event.key) && !event.target.closest(".traces")) return;
    event.preventDefault();
    event.stopPropagation(); // the traces have keys of their own, for pages with nothing else
    keys[event.key](event.shiftKey);
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!keys[event.key] || scrolls.includes(event.key)) return;
    event.preventDefault();
    keys[event.key](event.shiftKey);
  });
}
