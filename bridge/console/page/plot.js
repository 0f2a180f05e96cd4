// Small plots of the history. Each is an SVG that stretches; texts stand beside
// it, so that they do not.

import {h, show, svg} from './dom.js';
import {clock, span} from './format.js';

const WIDTH = 600;
const HEIGHT = 100;

// History keeps the points of one window and asks for new ones only.
export class History {
  constructor(window) {
    this.window = window;
    this.points = [];
    this.fields = [];
  }

  async update(page) {
    const last = this.points.length ? this.points[this.points.length - 1][0] : 0;
    const a = await page.get(`/api/v1/history?window=${this.window}&after=${last}`);
    this.step = a.step;
    this.span = a.span;
    this.fields = a.fields;
    this.points = this.points.concat(a.points);
    const from = (this.points.length ? this.points[this.points.length - 1][0] : 0) - a.span * 1000;
    this.points = this.points.filter((p) => p[0] > from);
    this.known = Math.min(a.span, Math.max(60 * a.step, this.points.length * a.step)); // seconds that are drawn
  }

  column(name) {
    return this.fields.indexOf(name) + 1;
  }
}

// Plot draws some fields: series are {field, label}, format makes a number text.
export class Plot {
  constructor(title, series, format) {
    Object.assign(this, {title, series, format});
    this.drawing = svg('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img'});
    this.head = h('figcaption', {});
    this.top = h('span', {class: 'axis top'});
    this.left = h('span', {class: 'axis left'});
    this.right = h('span', {class: 'axis right'}, 'now');
    this.el = h('figure', {class: 'plot'}, this.head, h('div', {class: 'area'}, this.drawing, this.top), h('div', {class: 'feet'}, this.left, this.right));
    this.drawing.addEventListener('pointermove', (e) => this.point(e));
    this.drawing.addEventListener('pointerleave', () => this.point(null));
  }

  update(history) {
    this.history = history;
    const points = history.points;
    const to = points.length ? points[points.length - 1][0] : Date.now();
    const from = to - history.known * 1000;
    this.from = from;
    const columns = this.series.map((s) => history.column(s.field));
    let most = 0;
    for (const p of points) for (const c of columns) if (p[c] > most) most = p[c];
    const top = nice(most);
    const x = (t) => ((t - from) / (history.known * 1000)) * WIDTH;
    const y = (v) => HEIGHT - 2 - (v / top) * (HEIGHT - 6);
    const lines = [25, 50, 75].map((at) => svg('line', {class: 'grid', x1: 0, x2: WIDTH, y1: at, y2: at}));
    const paths = columns.flatMap((c, i) => {
      const {joined, alone} = path(points, c, x, y, history.step * 2500);
      return [svg('path', {class: 'line line' + i, d: joined, 'vector-effect': 'non-scaling-stroke'}),
        svg('path', {class: 'line dots line' + i, d: alone, 'vector-effect': 'non-scaling-stroke'})];
    });
    const mark = this.at == null ? [] : [svg('line', {class: 'mark', x1: this.at, x2: this.at, y1: 0, y2: HEIGHT, 'vector-effect': 'non-scaling-stroke'})];
    show(this.drawing, ...lines, ...paths, ...mark);
    this.top.textContent = this.format(top);
    this.left.textContent = span(history.known * 1000) + ' ago';
    this.drawing.setAttribute('aria-label', `${this.title}, the last ${span(history.known * 1000)}: ` +
      this.series.map((s, i) => `${s.label} now ${this.format(points.at(-1)?.[columns[i]])}`).join(', ') + `; highest ${this.format(most)}`);
    this.caption(this.atPoint() || points.at(-1), columns);
  }

  caption(p, columns) {
    const when = this.at != null && p ? h('span', {class: 'dim'}, clock(p[0])) : null;
    show(this.head, h('b', {}, this.title), ...this.series.map((s, i) =>
      h('span', {class: 'key key' + i}, s.label, ' ', h('b', {}, this.format(p?.[columns[i]])))), when);
  }

  atPoint() {
    if (this.at == null) return null;
    const t = this.from + (this.at / WIDTH) * this.history.known * 1000;
    let best = null;
    for (const p of this.history.points) if (!best || Math.abs(p[0] - t) < Math.abs(best[0] - t)) best = p;
    return best;
  }

  point(e) {
    if (!this.history) return;
    const box = this.drawing.getBoundingClientRect();
    this.at = e && box.width ? ((e.clientX - box.left) / box.width) * WIDTH : null;
    this.update(this.history);
  }
}

// path joins the points of a column; where there is no number, or none for gap
// milliseconds, it breaks. Points that nothing joins to another are drawn apart.
function path(points, column, x, y, gap) {
  let joined = '';
  let alone = '';
  let last = 0;
  let open = false;
  points.forEach((p, i) => {
    const v = p[column];
    if (v == null) {
      open = false;
      return;
    }
    if (p[0] - last > gap) open = false;
    last = p[0];
    const at = `${x(p[0]).toFixed(1)} ${y(v).toFixed(1)}`;
    const next = points[i + 1];
    if (!open && (!next || next[column] == null || next[0] - p[0] > gap)) alone += `M${at}l0.01 0`;
    else joined += (open ? 'L' : 'M') + at;
    open = true;
  });
  return {joined, alone};
}

function nice(v) {
  if (!(v > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 2, 5, 10]) if (v <= m * power) return m * power;
  return v;
}

// strip draws whether a connection stood: one field of 0 to 1 over time.
export function strip(history, field, name) {
  const c = history.column(field);
  const to = history.points.at(-1)?.[0] || Date.now();
  const from = to - history.known * 1000;
  const x = (t) => Math.max(0, ((t - from) / (history.known * 1000)) * WIDTH);
  const parts = [];
  let up = 0;
  let run = null;
  for (const p of history.points) {
    up += p[c];
    const kind = p[c] >= 1 ? 'up' : p[c] > 0 ? 'part' : 'down';
    if (run && run.kind === kind && p[0] - run.to < history.step * 2500) run.to = p[0];
    else parts.push(run = {kind, from: p[0] - history.step * 1000, to: p[0]});
  }
  const share = history.points.length ? (100 * up) / history.points.length : 0;
  return svg('svg', {class: 'strip', viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `${name} was up for ${share.toFixed(1)} % of the last ${span(history.known * 1000)}, as far as that is known`},
  ...parts.map((r) => svg('rect', {class: r.kind, x: x(r.from), y: 0, height: 10, width: Math.max(1, x(r.to) - x(r.from))})));
}
