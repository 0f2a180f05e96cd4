// The states of a Thing, in words and colours. A badge always has its word: the
// colour alone says nothing.

import {h} from './dom.js';

export const states = [
  {name: 'ready', look: 'good', text: 'bound, values flow'},
  {name: 'bound', look: 'info', text: 'bound; the platform has not told its subscriptions yet'},
  {name: 'initial', look: 'info', text: 'bound, but the device asks to keep its values back'},
  {name: 'binding', look: 'info', text: 'its BIND is on its way'},
  {name: 'unbound', look: 'warn', text: 'wanted, but there is no connection to the platform or the bind waits'},
  {name: 'refused', look: 'bad', text: 'the platform refuses to bind it'},
  {name: 'absent', look: 'bad', text: 'bound, but there is no such Thing on the platform'},
  {name: 'offline', look: 'idle', text: 'the device, or what it depends on, is not there'},
  {name: 'leaving', look: 'idle', text: 'forgotten as soon as its queued values are out'},
];

const looks = new Map(states.map((s) => [s.name, s]));

export const badge = (text, look) => h('span', {class: 'badge ' + look}, text);

export function stateBadge(name) {
  const s = looks.get(name);
  return h('span', {class: 'badge ' + (s?.look || 'idle'), title: s?.text}, name);
}
