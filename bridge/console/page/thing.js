// One Thing: state, live values, services to try, events, trouble.

import {h, show} from './dom.js';
import {ago, bytes, clock, count, number, shorten, since} from './format.js';
import {serviceCard, signature} from './service.js';
import {badge, stateBadge} from './states.js';

const VALUE = 300; // bytes of a value that are asked for
const ROWS = 200; // properties that are shown at once

export function thing(page, {name}) {
  page.title(name);
  const head = h('div', {});
  const facts = h('section', {class: 'card', 'aria-label': 'Facts'});
  const filter = h('input', {type: 'search', id: 'property-filter', placeholder: 'part of a name', spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off'});
  const values = h('div', {class: 'scroll'});
  const services = h('div', {class: 'services'});
  const events = h('div', {});
  const trouble = h('div', {});
  page.el.append(head, facts,
    h('section', {'aria-labelledby': 'properties-title'}, h('div', {class: 'bar'}, h('h2', {id: 'properties-title'}, 'Properties'), h('label', {class: 'field', for: 'property-filter'}, 'Filter ', filter)), values),
    h('section', {'aria-labelledby': 'services-title'}, h('h2', {id: 'services-title'}, 'Services'), services),
    h('section', {'aria-labelledby': 'events-title'}, h('h2', {id: 'events-title'}, 'Events'), events),
    h('section', {'aria-labelledby': 'trouble-title'}, h('h2', {id: 'trouble-title'}, 'Recent trouble'), trouble));

  const cards = new Map(); // of services, by name and signature
  let last;
  const draw = () => show(values, ...properties(last, filter.value.trim().toLowerCase()));
  filter.addEventListener('input', () => last && draw());
  page.every(2000, async () => {
    try {
      // Not every kind of Thing has all of it.
      last = {known: [], subscriptions: [], missingBindings: {}, ...await page.get(`/api/v1/things/${encodeURIComponent(name)}?max_value=${VALUE}`)};
    } catch (e) {
      if (e.status !== 404) throw e;
      show(head, h('h1', {}, name), h('p', {class: 'warn-text'}, 'No such Thing is known (any more). Its device has not announced itself, or has left. ',
        h('a', {href: '#/trace?thing=' + encodeURIComponent(name)}, 'Watch for it')));
      for (const el of [facts, values, services, events, trouble]) el.replaceChildren();
      cards.clear();
      return;
    }
    show(head, ...headOf(last));
    show(facts, ...factsOf(last));
    draw();
    drawServices(page, services, cards, last);
    show(events, ...eventsOf(last));
    show(trouble, ...troubleOf(last));
  });
}

function headOf(t) {
  return [h('div', {class: 'bar'}, h('h1', {}, t.name, ' ', stateBadge(t.state), h('span', {class: 'dim small'}, ' ', since(t.since))),
    h('a', {class: 'button', href: '#/trace?thing=' + encodeURIComponent(t.name)}, 'Trace it')),
  t.metadata?.description ? h('p', {}, t.metadata.description) : null,
  t.reason ? h('p', {class: 'bad-text'}, 'The platform says: ', t.reason) : null];
}

function factsOf(t) {
  const rows = [['seen', ago(t.lastSeen)], ['profile', t.profile], ['announced on', t.sources?.join(', ') || '–']];
  if (t.boundAs !== t.name) rows.push(['bound as', t.boundAs]);
  if (t.parent) rows.push(['behind', h('a', {href: '#/things/' + encodeURIComponent(t.parent)}, t.parent)]);
  if (t.queuedRecords != null) rows.push(['waiting', t.queuedRecords ? `${count(t.queuedRecords, 'record')}, ${bytes(t.queuedBytes)}, the oldest ${ago(t.oldest)}` : 'nothing']);
  if (t.calls) rows.push(['calls in flight', h('a', {href: '#/calls'}, number(t.calls))]);
  if (t.provision) rows.push(['provisioning', t.provision]);
  return [h('dl', {class: 'facts wide'}, rows.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]))];
}

// properties joins what is declared, what has a value and what has no binding.
function properties(t, filter) {
  const declared = t.metadata?.propertyDefinitions || {};
  const asked = new Map(t.subscriptions.map((s) => [s.property, s]));
  const known = new Map(t.known.map((k) => [k.name, k]));
  const all = [...new Set([...Object.keys(declared), ...known.keys(), ...Object.keys(t.missingBindings)])].sort();
  const names = all.filter((n) => n.toLowerCase().includes(filter));
  if (!names.length) return [h('p', {class: 'dim'}, all.length ? 'No property matches.' : 'None has come, none is declared.')];
  return [h('table', {class: 'list'}, h('thead', {}, h('tr', {}, ['Name', 'Value', 'Type', 'Age', 'Platform'].map((c) => h('th', {scope: 'col', class: c === 'Type' ? 'narrow' : false}, c)))),
    h('tbody', {}, names.slice(0, ROWS).map((n) => property(n, declared[n], known.get(n), asked.get(n), t.missingBindings[n])))),
  names.length > ROWS ? h('p', {class: 'dim'}, `${number(names.length - ROWS)} more; narrow the filter.`) : null];
}

function property(name, declared, known, asked, missing) {
  const unit = declared?.aspects?.units;
  const text = known ? (known.cut ? known.value + '…' : JSON.stringify(known.value)) : '–';
  let platform = h('span', {class: 'dim'}, asked ? '' : 'not asked for');
  if (missing) platform = h('span', {title: 'In Composer: Manage Bindings, tab Remote'}, badge('no binding', 'warn'), h('span', {class: 'dim'}, ` ${number(missing)} values`));
  else if (asked) platform = h('span', {}, badge(asked.push.toLowerCase(), asked.push === 'NEVER' ? 'idle' : 'good'), asked.threshold ? h('span', {class: 'dim'}, ' from ', number(asked.threshold)) : null);
  return h('tr', {'data-key': name},
    h('td', {class: 'name', title: declared?.description || false}, name),
    h('td', {class: 'value'}, h('code', {}, shorten(text, 300)), known && unit ? ' ' + unit : null, known?.cut ? h('span', {class: 'dim'}, ' of ', bytes(known.cut)) : null,
      known && known.quality !== 'GOOD' ? [' ', badge(known.quality, 'warn')] : null),
    h('td', {class: 'dim narrow'}, declared?.baseType || ''),
    h('td', {title: known ? 'the device says ' + clock(known.time, true) : false}, known ? since(known.received) : '–'),
    h('td', {}, platform));
}

// drawServices keeps the forms that are there, with what was typed into them.
function drawServices(page, el, cards, t) {
  const declared = Object.entries(t.metadata?.serviceDefinitions || {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const status = page.status();
  const seen = new Set();
  const list = declared.map(([name, s]) => {
    const key = JSON.stringify([name, signature(s), status?.allowCalls]);
    seen.add(key);
    if (!cards.has(key)) cards.set(key, serviceCard(page, t.name, name, s, status?.allowCalls));
    return cards.get(key);
  });
  for (const key of cards.keys()) if (!seen.has(key)) cards.delete(key);
  if (!list.length) return show(el, h('p', {class: 'dim'}, 'The device declares none.'));
  const same = el.children.length === list.length && list.every((c, i) => el.children[i] === c);
  if (!same) el.replaceChildren(...list);
}

function eventsOf(t) {
  const declared = Object.entries(t.metadata?.eventDefinitions || {});
  const list = t.events || [];
  return [
    declared.length ? h('p', {}, 'Declared: ', declared.map(([n, e], i) => [i ? ', ' : '', h('b', {}, n), h('span', {class: 'dim'}, '(', fieldList(e.EventData?.fieldDefinitions), ')')])) : null,
    list.length ? h('ol', {class: 'changes'}, list.map((e) => h('li', {}, h('time', {}, clock(e.received)), ' ', h('b', {}, e.name), ' ',
      h('code', {}, e.tooLarge ? 'too large to show' : e.data ? shorten(JSON.stringify(e.data), 300) : '')))) : h('p', {class: 'dim'}, 'None of late.'),
  ];
}

const fieldList = (fields) => Object.entries(fields || {}).map(([n, f]) => `${n} ${f.baseType}`).join(', ');

function troubleOf(t) {
  if (!t.recentProblems?.length) return [h('p', {class: 'dim'}, 'None.')];
  return [h('ol', {class: 'changes'}, t.recentProblems.map((p) => h('li', {}, h('time', {}, clock(p.time)), ' ', badge(p.kind, 'warn'), ' ', p.text,
    p.count > 1 ? h('span', {class: 'dim'}, ` ${number(p.count)} times`) : null)))];
}
