// The trace: messages as they pass, with what becomes of them.

import {stream, Refused} from './api.js';
import {h, show} from './dom.js';
import {bytes, clock, millis, number} from './format.js';
import {badge} from './states.js';

const MOST = 300; // messages that are shown

const fates = {
  sent: ['acknowledged', 'good', 'the platform has it'],
  filtered: ['not pushed', 'idle', 'the push type or threshold of the platform keeps it back'],
  no_binding: ['no binding', 'warn', 'the platform has no remote binding for the property'],
  refused: ['refused', 'bad', 'the platform refuses it'],
  again: ['tried again', 'warn', 'the push failed and is made again'],
  unchanged: ['unchanged', 'idle', 'retained, and the platform has it already'],
};

export function trace(page, {parameters}) {
  page.title('Trace');
  const input = (id, value, hint) => h('input', {id, type: 'text', value, placeholder: hint, spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off'});
  const topic = input('trace-topic', parameters.get('topic') || '', 'all; a part, or a filter with + and #');
  const thing = input('trace-thing', parameters.get('thing') || '', 'all; a part of the name');
  const pause = h('button', {type: 'button', id: 'trace-pause', 'aria-pressed': 'false'}, 'Pause');
  const clear = h('button', {type: 'button'}, 'Clear');
  const state = h('span', {class: 'dim', role: 'status', id: 'trace-state'});
  const list = h('ol', {class: 'trace', 'aria-label': 'Messages, newest first'});
  const form = h('form', {class: 'bar filters'}, h('label', {class: 'field', for: 'trace-topic'}, 'Topic ', topic), h('label', {class: 'field', for: 'trace-thing'}, 'Thing ', thing),
    h('button', {type: 'submit', class: 'first'}, 'Show'), pause, clear);
  page.el.append(h('h1', {}, 'Trace'), h('p', {class: 'dim'}, 'A message, the rule that hears it, what it means, and whether the platform has acknowledged it. The bridge only looks while this is open.'),
    form, state, list);

  const t = new Rows(list);
  const run = watch(page, t, state, topic, thing, pause);
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    const p = new URLSearchParams(Object.entries({topic: topic.value.trim(), thing: thing.value.trim()}).filter(([, v]) => v));
    history.replaceState(null, '', '#/trace' + (p.size ? '?' + p : ''));
    t.clear();
    run.again();
  });
  pause.addEventListener('click', run.pause);
  clear.addEventListener('click', () => t.clear());
}

// watch keeps a stream open, and makes a new one when it breaks.
function watch(page, rows, state, topic, thing, pause) {
  let control;
  let paused = false;
  let tries = 0;
  let timer;
  const told = {dropped: 0};
  const say = (text) => {
    state.textContent = text + (told.dropped ? ` ${number(told.dropped)} lines were too many at a time and are not shown; narrow the filter.` : '');
  };
  const again = async () => {
    control?.abort();
    clearTimeout(timer);
    if (paused || page.signal.aborted) return;
    const mine = control = new AbortController();
    told.dropped = 0;
    say('Connecting.');
    const p = new URLSearchParams({topic: topic.value.trim(), thing: thing.value.trim()});
    try {
      await stream('/api/v1/trace?' + p, (name, data) => {
        if (mine.signal.aborted) return;
        if (name === 'open') {
          tries = 0;
          say('Watching.');
        } else if (name === 'line') rows.line(data);
        else if (name === 'dropped') {
          told.dropped = data.dropped;
          say('Watching.');
        }
      }, mine.signal);
    } catch (e) {
      if (mine.signal.aborted) return;
      if (e instanceof Refused) {
        say(e.message + '.');
        if (e.status === 401) return;
      }
    }
    if (mine.signal.aborted) return;
    if (!tries++) say('The stream has ended; it is opened again.');
    timer = setTimeout(again, Math.min(10000, 500 * 2 ** tries));
  };
  page.signal.addEventListener('abort', () => {
    control?.abort();
    clearTimeout(timer);
  });
  again();
  return {
    again,
    pause: () => {
      paused = !paused;
      pause.setAttribute('aria-pressed', paused);
      pause.textContent = paused ? 'Go on' : 'Pause';
      if (!paused) return again();
      control?.abort();
      clearTimeout(timer);
      say('Paused; the bridge does not look.');
    },
  };
}

// Rows draws at most once for each picture of the screen.
class Rows {
  constructor(list) {
    this.list = list;
    this.rows = []; // newest first
    this.byID = new Map();
    this.count = 0;
    this.due = false;
  }

  clear() {
    this.rows = [];
    this.byID.clear();
    this.draw();
  }

  line(l) {
    if (l.kind === 'message' || l.kind === 'call') {
      const row = {key: ++this.count, first: l, ends: new Map()};
      this.rows.unshift(row);
      if (l.id) this.byID.set(l.id, row);
      for (const gone of this.rows.splice(MOST)) this.byID.delete(gone.first.id);
    } else {
      const row = this.byID.get(l.id);
      if (!row) return;
      if (l.kind === 'end') row.ends.set(`${l.thing}\n${l.name}`, l);
      else row.kept = l;
    }
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.draw();
    });
  }

  draw() {
    show(this.list, ...this.rows.map((r) => (r.first.kind === 'call' ? callRow(r) : messageRow(r))));
  }
}

const thingLink = (name) => h('a', {href: '#/things/' + encodeURIComponent(name)}, name);

function messageRow(r) {
  const m = r.first;
  const pending = new Map(r.ends);
  const steps = (m.steps || []).map((s) => {
    const key = `${s.thing}\n${s.name}`;
    const end = pending.get(key);
    pending.delete(key);
    return step(s, end, r.kept);
  });
  const rest = [...pending.values()].map((e) => h('li', {}, h('span', {class: 'what'}, '→ ', thingLink(e.thing), h('b', {}, '.' + e.name)), fate(e)));
  return h('li', {'data-key': 'm' + r.key}, h('div', {class: 'came'}, h('time', {}, clock(m.time, true)), ' ', h('code', {class: 'topic'}, m.topic), ' ',
    m.retained ? badge('retained', 'info') : null, ' ', h('code', {class: 'payload'}, m.payload || '(empty)'), m.size > 300 ? h('span', {class: 'dim'}, ' ', bytes(m.size)) : null),
  h('ul', {class: 'steps'}, steps, rest, m.more ? h('li', {class: 'dim'}, `and ${number(m.more)} more`) : null), keptBadge(r.kept));
}

function keptBadge(kept) {
  if (!kept) return h('span', {class: 'kept dim'}, 'being kept');
  if (kept.kind === 'unkept') return h('span', {class: 'kept bad-text'}, 'not kept: the broker hands it over again');
  return h('span', {class: 'kept dim'}, `acknowledged to the broker after ${millis(kept.took)}`);
}

const words = {announced: 'announces', left: 'leaves', presence: 'is', hold: 'keeps values back:', reply: 'answers', upward: 'calls the platform:', waits: 'waits for its announcement', rejected: 'refused'};

function step(s, end, kept) {
  const rule = h('code', {class: 'rule', title: 'rule'}, s.rule || '–');
  const to = s.thing ? thingLink(s.thing) : null;
  if (s.what === 'value' || s.what === 'event') {
    return h('li', {}, rule, h('span', {class: 'what'}, '→ ', to, h('b', {}, '.' + s.name), s.what === 'event' ? badge('event', 'info') : ' = ', ' ', h('code', {class: 'value', title: s.type}, s.value)),
      end ? fate(end) : badge(kept ? 'on its way' : '…', 'idle'));
  }
  if (s.what === 'rejected') return h('li', {}, rule, h('span', {class: 'what'}, '→ ', to, ' ', s.value), badge(s.type, 'warn'));
  return h('li', {}, rule, h('span', {class: 'what'}, '→ ', to, ' ', words[s.what] || s.what, ' ', h('b', {}, s.name || ''), ' ', s.value || ''));
}

function fate(e) {
  const [word, look, title] = fates[e.outcome] || [e.outcome, 'idle', ''];
  return h('span', {class: 'fate'}, h('span', {title}, badge(word, look)), h('span', {class: 'dim'}, ' ', millis(e.took), e.reason ? ' ' + e.reason : ''));
}

function callRow(r) {
  const c = r.first;
  const good = c.outcome === 'ok';
  return h('li', {class: 'call', 'data-key': 'c' + r.key}, h('div', {class: 'came'}, h('time', {}, clock(c.time, true)), ' ', badge(c.call, 'info'), ' ', thingLink(c.thing), h('b', {}, '.' + c.name)),
    h('ul', {class: 'steps'}, h('li', {}, h('code', {class: 'topic'}, '→ ', c.topic || '–'), ' ', h('code', {class: 'payload'}, c.payload || '(empty)'),
      h('span', {class: 'fate'}, badge(c.outcome, good ? 'good' : 'bad'), h('span', {class: 'dim'}, ' ', millis(c.took), c.reason ? ' ' + c.reason : '')))));
}
