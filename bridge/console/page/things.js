// The list of Things: the bridge searches, filters and sorts, the page shows one
// page of it.

import {h, show} from './dom.js';
import {ago, number, since} from './format.js';
import {states, stateBadge} from './states.js';

const SIZE = 100;

const columns = [
  {sort: 'name', text: 'Name'},
  {sort: 'state', text: 'State'},
  {sort: 'since', text: 'Since', first: '-', hide: 'narrow'},
  {sort: 'lastSeen', text: 'Seen', first: '-'},
  {sort: 'values', text: 'Values', first: '-', look: 'num', hide: 'narrow'},
  {sort: 'problems', text: 'Problems', first: '-', look: 'num'},
  {sort: 'profile', text: 'Profile', hide: 'narrow'},
];

export function things(page, {parameters}) {
  page.title('Things');
  const q = {search: parameters.get('search') || '', state: parameters.get('state') || '', sort: parameters.get('sort') || 'name', page: Number(parameters.get('page')) || 0};
  const search = h('input', {type: 'search', id: 'search', placeholder: 'part of a name', value: q.search, spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off'});
  const chips = h('div', {class: 'chips', role: 'group', 'aria-label': 'State'});
  const head = h('tr', {});
  const body = h('tbody', {});
  const pager = h('nav', {class: 'pager', 'aria-label': 'Pages'});
  page.el.append(h('div', {class: 'bar'}, h('h1', {}, 'Things'), h('label', {class: 'field', for: 'search'}, 'Search ', search)), chips,
    h('div', {class: 'scroll'}, h('table', {class: 'list'}, h('thead', {}, head), body)), pager);

  let asked = 0;
  const load = page.every(3000, async () => {
    const mine = ++asked;
    const p = new URLSearchParams({search: q.search, state: q.state, sort: q.sort, offset: q.page * SIZE, limit: SIZE});
    const found = await page.get('/api/v1/things?' + p);
    if (mine !== asked) return; // a newer question is under way
    if (q.page > 0 && q.page * SIZE >= found.total) {
      q.page = Math.max(0, Math.ceil(found.total / SIZE) - 1);
      return changed();
    }
    show(head, ...columns.map((c) => header(c, q.sort)));
    show(chips, ...stateChips(found.states, q.state));
    show(body, ...(found.things.length ? found.things.map(row) : [h('tr', {}, h('td', {colspan: columns.length, class: 'dim'},
      q.search || q.state ? 'No Thing matches.' : 'No device has announced itself yet.'))]));
    show(pager, ...pages(q.page, found));
  });

  const changed = () => {
    const p = new URLSearchParams(Object.entries(q).filter(([k, v]) => v && !(k === 'sort' && v === 'name')));
    history.replaceState(null, '', '#/things' + (p.size ? '?' + p : ''));
    return load();
  };
  const set = (change) => {
    Object.assign(q, {page: 0}, change);
    changed();
  };
  let wait;
  search.addEventListener('input', () => {
    clearTimeout(wait);
    wait = setTimeout(() => set({search: search.value.trim()}), 150);
  });
  chips.addEventListener('click', (e) => on(e, (b) => set({state: b.getAttribute('aria-pressed') === 'true' ? '' : b.dataset.state})));
  head.addEventListener('click', (e) => on(e, (b) => {
    const c = columns.find((x) => x.sort === b.dataset.sort);
    const first = (c.first || '') + c.sort;
    set({sort: q.sort === first ? (c.first ? c.sort : '-' + c.sort) : first});
  }));
  pager.addEventListener('click', (e) => on(e, (b) => {
    set({page: Number(b.dataset.page)});
    body.scrollIntoView({block: 'nearest'});
  }));
  keyboard(page, search, body);
}

const on = (e, f) => {
  const b = e.target.closest('button');
  if (b && !b.disabled) f(b);
};

// keyboard: / goes to the search, the arrows go through the names.
function keyboard(page, search, body) {
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === '/' && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      search.focus();
      search.select();
      return;
    }
    const step = {ArrowDown: 1, ArrowUp: -1}[e.key];
    if (!step) return;
    const names = [...body.querySelectorAll('a')];
    const at = names.indexOf(document.activeElement);
    if (at < 0 && document.activeElement !== search) return;
    e.preventDefault();
    const to = at + step;
    (to < 0 ? search : names[Math.min(to, names.length - 1)])?.focus();
  }, {signal: page.signal});
}

function header(c, sort) {
  const mine = sort.replace('-', '') === c.sort;
  const down = sort.startsWith('-');
  return h('th', {scope: 'col', class: [c.look, c.hide].filter(Boolean).join(' ') || false, 'aria-sort': mine ? (down ? 'descending' : 'ascending') : null},
    h('button', {type: 'button', class: 'sort', 'data-sort': c.sort}, c.text, h('span', {'aria-hidden': 'true'}, mine ? (down ? ' ↓' : ' ↑') : '')));
}

function stateChips(counts, chosen) {
  const chip = (name, text, title, n) => h('button', {type: 'button', class: 'chip', 'data-key': name || 'all', 'data-state': name, title, 'aria-pressed': chosen === name}, text, ' ', h('b', {}, number(n)));
  const all = Object.entries(counts).reduce((sum, [name, n]) => sum + (name === 'trouble' ? 0 : n), 0);
  return [chip('', 'all', 'every state', all),
    ...states.filter((s) => counts[s.name] || chosen === s.name).map((s) => chip(s.name, s.name, s.text, counts[s.name] || 0)),
    counts.trouble || chosen === 'trouble' ? chip('trouble', 'with problems', 'whatever their state', counts.trouble || 0) : null];
}

function row(t) {
  return h('tr', {'data-key': t.name},
    h('td', {class: 'name'}, h('a', {href: '#/things/' + encodeURIComponent(t.name)}, t.name), t.reason ? h('div', {class: 'dim small'}, t.reason) : null),
    h('td', {}, stateBadge(t.state)),
    h('td', {class: 'narrow'}, since(t.since)),
    h('td', {}, ago(t.lastSeen)),
    h('td', {class: 'num narrow'}, number(t.values)),
    h('td', {class: 'num' + (t.problems ? ' warn-text' : '')}, number(t.problems)),
    h('td', {class: 'narrow dim'}, t.profile));
}

function pages(at, found) {
  const last = Math.max(0, Math.ceil(found.total / SIZE) - 1);
  const from = found.total ? at * SIZE + 1 : 0;
  const button = (text, to, label) => h('button', {type: 'button', 'data-page': to, 'aria-label': label, disabled: to < 0 || to > last || to === at}, text);
  return [h('span', {role: 'status'}, `${number(from)} to ${number(Math.min(found.total, (at + 1) * SIZE))} of ${number(found.total)}`),
    button('« First', 0, 'First page'), button('‹ Back', at - 1, 'Page before'), button('Next ›', at + 1, 'Next page'), button('Last »', last, 'Last page')];
}
