// The first view: both connections, the Things, what waits, what to do, rates and latencies.

import {h, show} from './dom.js';
import {ago, bytes, clock, count, millis, number, since} from './format.js';
import {History, Plot, strip} from './plot.js';
import {badge, states} from './states.js';

const perSecond = (n) => number(n) + (n == null ? '' : '/s');

const plots = () => [
  new Plot('Traffic', [{field: 'messages', label: 'messages in'}, {field: 'sent', label: 'values to the platform'}], perSecond),
  new Plot('Push to answer', [{field: 'push50', label: 'half within'}, {field: 'push95', label: '95 % within'}], millis),
  new Plot('Waiting in the outbox', [{field: 'records', label: 'records'}], number),
  new Plot('Calls to devices', [{field: 'calls', label: 'ended'}, {field: 'failed', label: 'of these failed'}], perSecond),
  new Plot('Call to answer', [{field: 'call50', label: 'half within'}, {field: 'call95', label: '95 % within'}], millis),
  new Plot('Trouble', [{field: 'dropped', label: 'values dropped'}, {field: 'rejected', label: 'refused'}], perSecond),
];

export function overview(page) {
  page.title('Overview');
  const cards = h('section', {class: 'cards', 'aria-label': 'State'});
  const next = h('section', {class: 'next', 'aria-labelledby': 'next-title'});
  const drawings = plots();
  const windows = {'10m': new History('10m'), '24h': new History('24h')};
  let chosen = '10m';
  const choice = h('div', {class: 'choice', role: 'group', 'aria-label': 'Time that is shown'},
    ['10m', '24h'].map((w) => h('button', {type: 'button', 'data-window': w, 'aria-pressed': w === chosen}, w === '10m' ? '10 min' : '24 h')));
  page.el.append(h('h1', {class: 'hidden'}, 'Overview'), cards, next,
    h('section', {'aria-labelledby': 'rates-title'}, h('div', {class: 'bar'}, h('h2', {id: 'rates-title'}, 'Rates and latencies'), choice),
      h('div', {class: 'plots'}, drawings.map((p) => p.el))));

  const refresh = page.every(1000, async () => {
    const w = windows[chosen];
    await w.update(page);
    for (const p of drawings) p.update(w);
  });
  choice.addEventListener('click', (e) => {
    const b = e.target.closest('button');
    if (!b) return;
    chosen = b.dataset.window;
    for (const o of choice.children) o.setAttribute('aria-pressed', o === b);
    refresh();
  });
  page.every(2000, async () => {
    const s = await page.get('/api/v1/status');
    show(cards, linkCard('Broker', s.broker, windows[chosen], s.changes.broker), linkCard('Platform', s.platform, windows[chosen], s.changes.platform),
      thingsCard(s), outboxCard(s));
  });
  page.every(5000, async () => {
    const a = await page.get('/api/v1/advice');
    show(next, ...todo(a));
  });
}

function linkCard(name, link, history, changes) {
  const last = link.lastError;
  const facts = [];
  if (link.broker) facts.push(['address', link.broker]);
  if (link.rtt) facts.push(['round trip', link.rtt]);
  if (link.session) facts.push(['connection', 'number ' + number(link.session)]);
  if (!link.up && link.attempts) facts.push(['attempts', number(link.attempts)]);
  if (last) facts.push([link.up ? 'last trouble' : 'reason', last]);
  return h('article', {class: 'card', 'data-key': name},
    h('h2', {}, name, ' ', badge(link.up ? 'up' : 'down', link.up ? 'good' : 'bad')),
    h('p', {class: 'big'}, link.up ? 'for ' : '', since(link.since)),
    strip(history, name.toLowerCase(), name),
    h('dl', {class: 'facts'}, facts.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])),
    h('details', {}, h('summary', {}, 'History'), changeList(changes || [])));
}

function changeList(changes) {
  if (!changes.length) return h('p', {class: 'dim'}, 'No change since the start.');
  return h('ol', {class: 'changes'}, [...changes].reverse().map((c) =>
    h('li', {}, h('time', {}, clock(c.time)), ' ', badge(c.up ? 'up' : 'down', c.up ? 'good' : 'bad'), ' ', c.reason || '')));
}

function thingsCard(s) {
  const all = s.bridge.things;
  const total = Object.values(all).reduce((a, b) => a + b, 0);
  const used = states.filter((st) => all[st.name]);
  return h('article', {class: 'card', 'data-key': 'things'},
    h('h2', {}, 'Things'),
    h('p', {class: 'big'}, h('a', {href: '#/things'}, number(total)), h('span', {class: 'dim small'}, ` ${number(s.platform.bound)} of ${number(s.platform.wanted)} bound`)),
    h('ul', {class: 'legend'}, used.map((st) =>
      h('li', {'data-key': st.name}, h('a', {href: '#/things?state=' + st.name, title: st.text}, badge(st.name, st.look), ' ', h('b', {}, number(all[st.name])))))),
    h('dl', {class: 'facts'}, h('dt', {}, 'calls'), h('dd', {}, h('a', {href: '#/calls'}, count(s.bridge.callsInFlight, 'in flight', 'in flight'))),
      h('dt', {}, 'bridge'), h('dd', {}, `${s.version}, started ${ago(s.bridge.started)}`)));
}

function outboxCard(s) {
  const o = s.outbox;
  const part = o.maxBytes ? Math.min(1, o.bytes / o.maxBytes) : 0;
  const dropped = Object.entries(o.dropped || {}).filter(([, n]) => n > 0);
  return h('article', {class: 'card', 'data-key': 'outbox'},
    h('h2', {}, 'Outbox'),
    h('p', {class: 'big'}, number(o.records), h('span', {class: 'dim small'}, o.records === 1 ? ' record waits' : ' records wait')),
    h('progress', {max: 1, value: part, 'aria-label': 'Part of the outbox that is full', class: part > 0.8 ? 'bad' : ''}),
    h('dl', {class: 'facts'},
      h('dt', {}, 'size'), h('dd', {}, `${bytes(o.bytes)} of ${bytes(o.maxBytes)}`),
      h('dt', {}, 'kept'), h('dd', {}, o.mode === 'disk' ? 'on disk' : 'in memory only'),
      o.oldest ? [h('dt', {}, 'oldest'), h('dd', {}, ago(o.oldest))] : [],
      o.things ? [h('dt', {}, 'Things'), h('dd', {}, number(o.things))] : [],
      dropped.length ? [h('dt', {}, 'dropped'), h('dd', {class: 'bad-text'}, dropped.map(([why, n]) => `${number(n)} ${why}`).join(', '))] : [],
      o.error ? [h('dt', {}, 'disk'), h('dd', {class: 'bad-text'}, o.error)] : []));
}

// todo is what the user should do next, and what the bridge has to tell.
function todo({advice, notices}) {
  const list = advice.map((a, i) => h('li', {class: 'advice level-' + a.level, 'data-key': `${a.kind} ${a.title.replace(/\d+/g, '#')} ${a.details?.[0] ?? i}`},
    h('h3', {}, badge(a.level === 'error' ? 'act' : 'look', a.level === 'error' ? 'bad' : 'warn'), ' ', a.title,
      a.since ? h('span', {class: 'dim small'}, ' ', ago(a.since)) : null),
    h('p', {}, a.remedy),
    a.details ? h('ul', {class: 'details'}, a.details.map((d) => h('li', {}, d))) : null,
    a.things ? h('p', {class: 'names'}, a.things.map((t) => [h('a', {href: '#/things/' + encodeURIComponent(t)}, t), ' ']),
      a.count > a.things.length ? h('span', {class: 'dim'}, `and ${number(a.count - a.things.length)} more`) : null) : null));
  const news = notices.map((n) => h('li', {class: 'advice level-' + n.level, 'data-key': 'notice' + n.time},
    h('h3', {}, badge(n.level === 'ok' ? 'done' : n.level === 'error' ? 'failed' : 'note', n.level === 'ok' ? 'good' : n.level === 'error' ? 'bad' : 'warn'),
      ' ', n.title, h('span', {class: 'dim small'}, ' ', ago(n.time))),
    n.lines ? h('ul', {class: 'details'}, n.lines.map((d) => h('li', {}, d))) : null));
  return [
    h('h2', {id: 'next-title', 'data-key': 'title'}, 'What to do next ', h('span', {class: 'dim'}, advice.length ? number(advice.length) : '')),
    advice.length ? h('ul', {class: 'todo', 'data-key': 'todo'}, list) : h('p', {class: 'calm', 'data-key': 'calm'}, 'Nothing. Everything that devices send has a way.'),
    news.length ? h('h2', {'data-key': 'news-title'}, 'What happened') : null,
    news.length ? h('ul', {class: 'todo', 'data-key': 'news'}, news) : null,
  ];
}
