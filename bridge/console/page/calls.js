// Calls, writes and reads that have not ended.

import {h, show} from './dom.js';
import {clock, number, span, instant} from './format.js';
import {badge} from './states.js';

const phases = {sent: ['good', 'sent, the device has not answered yet'], queued: ['info', 'behind another call of the same device'], asleep: ['idle', 'waits until the device shows itself']};

export function calls(page) {
  page.title('Calls');
  const note = h('p', {class: 'dim'});
  const body = h('tbody', {});
  const list = h('div', {class: 'scroll', hidden: true}, h('table', {class: 'list'},
    h('thead', {}, h('tr', {}, ['Thing', 'What', 'Phase', 'Began', 'Time left'].map((t) => h('th', {scope: 'col'}, t)))), body));
  page.el.append(h('h1', {}, 'Calls in flight'), note, list);
  page.every(1000, async () => {
    const a = await page.get('/api/v1/calls');
    note.textContent = a.total ? (a.total > a.calls.length ? `${number(a.total)}; the oldest ${number(a.calls.length)} are shown.` : `${number(a.total)}.`)
      : 'None at the moment. Calls that have ended show in the trace while it is open.';
    list.hidden = !a.calls.length;
    show(body, ...a.calls.map((c) => {
      const left = instant(c.deadline) - Date.now();
      const [look, text] = phases[c.phase] || ['idle', ''];
      return h('tr', {}, h('td', {class: 'name'}, h('a', {href: '#/things/' + encodeURIComponent(c.thing)}, c.thing)),
        h('td', {}, h('span', {class: 'dim'}, c.kind, ' '), c.name), h('td', {}, h('span', {title: text}, badge(c.phase, look))),
        h('td', {}, clock(c.started, true)), h('td', {}, span(left)));
    }));
  });
}
