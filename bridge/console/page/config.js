// The configuration as it was loaded, secrets masked.

import {h, show} from './dom.js';
import {ago} from './format.js';
import {badge} from './states.js';

export function config(page) {
  page.title('Configuration');
  const from = h('p', {class: 'dim'});
  const news = h('div', {});
  const text = h('pre', {class: 'yaml', tabindex: '0', 'aria-label': 'Configuration'});
  page.el.append(h('h1', {}, 'Configuration'), from, news, text);
  page.every(10000, async () => {
    const [c, a] = await Promise.all([page.get('/api/v1/config'), page.get('/api/v1/advice')]);
    from.textContent = (c.file ? `Loaded from ${c.file}.` : 'There is no file: defaults, flags and environment.') + ' Secrets are masked. Every key with its meaning; the same as thingbridge config print.';
    show(news, a.notices.map((n) => h('p', {class: 'advice level-' + n.level}, badge(n.level === 'ok' ? 'done' : n.level, n.level === 'ok' ? 'good' : n.level === 'error' ? 'bad' : 'warn'),
      ' ', n.title, ' ', h('span', {class: 'dim'}, ago(n.time)), (n.lines || []).map((l) => h('span', {class: 'details'}, l)))));
    const lines = c.text.replace(/\n$/, '').split('\n');
    show(text, ...lines.map((l) => line(l)));
  });
}

// line dims comments; everything is text.
function line(l) {
  const at = /(^|\s)#/.exec(l);
  if (!at) return h('span', {}, l + '\n');
  return h('span', {}, l.slice(0, at.index), h('span', {class: 'dim'}, l.slice(at.index)), '\n');
}
