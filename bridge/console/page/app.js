// The page: which view is shown, what it asks for and how often, the head, the log-in.

import {ask, get, login, Refused} from './api.js';
import {h, show} from './dom.js';
import {since} from './format.js';
import {calls} from './calls.js';
import {config} from './config.js';
import {loginForm} from './login.js';
import {overview} from './overview.js';
import {thing} from './thing.js';
import {things} from './things.js';
import {trace} from './trace.js';

const main = document.getElementById('main');
const fault = document.getElementById('fault');
const logout = document.getElementById('logout');
let current = null; // {stop} of the view that is shown
let shownStatus = null;

// route finds the view of an address such as #/things/pump-1?x=y.
function route() {
  const [path, query] = location.hash.replace(/^#/, '').split('?');
  const parts = path.split('/').filter(Boolean);
  const parameters = new URLSearchParams(query || '');
  switch (parts[0] || '') {
    case '': return {view: overview, tab: '#/'};
    case 'things':
      if (parts.length > 1) return {view: thing, tab: '#/things', name: decode(parts.slice(1).join('/'))};
      return {view: things, tab: '#/things', parameters};
    case 'trace': return {view: trace, tab: '#/trace', parameters};
    case 'calls': return {view: calls, tab: '#/calls'};
    case 'config': return {view: config, tab: '#/config'};
  }
  return {view: overview, tab: '#/'};
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// open shows the view of the present address.
function open(focus) {
  current?.stop();
  const to = route();
  for (const a of document.querySelectorAll('#nav a')) {
    if (a.getAttribute('href') === to.tab) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  main.replaceChildren();
  const page = new Page();
  current = page;
  document.title = 'thingbridge';
  to.view(page, to);
  if (focus) {
    window.scrollTo(0, 0);
    main.focus({preventScroll: true});
  }
}

// Page is what a view gets: the place to draw in and ways to ask.
class Page {
  constructor() {
    this.el = main;
    this.control = new AbortController();
    this.signal = this.control.signal;
    this.timers = new Set();
  }

  title(text) {
    document.title = text ? text + ' · thingbridge' : 'thingbridge';
  }

  get(path) {
    return get(path, {signal: this.signal});
  }

  status() {
    return shownStatus;
  }

  // every does something now and then, while the view is open and the tab is seen.
  // What goes wrong is shown; the next time it may go well.
  every(ms, f) {
    const task = {again: null};
    const run = async () => {
      clearTimeout(task.timer);
      if (this.signal.aborted) return;
      if (document.visibilityState === 'visible') await this.attempt(f);
      if (!this.signal.aborted) task.timer = setTimeout(run, ms);
    };
    task.stop = () => clearTimeout(task.timer);
    this.timers.add(task);
    run();
    return run;
  }

  async attempt(f) {
    try {
      await f();
      tell('');
    } catch (e) {
      problem(e, this.signal);
    }
  }

  stop() {
    this.control.abort();
    for (const t of this.timers) t.stop();
  }
}

function tell(text) {
  fault.hidden = !text;
  if (fault.textContent !== text) fault.textContent = text;
}

function problem(e, signal) {
  if (signal?.aborted || e.name === 'AbortError') return;
  if (e instanceof Refused && e.status === 401) return askLogin();
  if (e instanceof Refused) return tell(e.message);
  if (e instanceof TypeError) return tell('The bridge does not answer. It may have stopped, or the way to it is cut; this page goes on trying.');
  console.error(e);
  tell('This page has an error: ' + e.message);
}

function askLogin() {
  if (main.querySelector('#login')) return;
  const wrong = login.get() !== '';
  login.clear();
  logout.hidden = true;
  current?.stop();
  show(document.getElementById('links'));
  tell('');
  loginForm(main, wrong, async (header) => {
    await ask('/api/v1/status', {header});
    login.set(header);
    logout.hidden = false;
    open(true);
    heartbeat();
  });
}

let beat;

// heartbeat keeps the head up to date.
async function heartbeat() {
  clearTimeout(beat);
  if (document.visibilityState === 'visible' && !main.querySelector('#login')) {
    try {
      shownStatus = await get('/api/v1/status');
      head(shownStatus);
    } catch (e) {
      problem(e);
      if (!(e instanceof Refused)) show(document.getElementById('links'), pill('Bridge', false, 'does not answer'));
    }
  }
  beat = setTimeout(heartbeat, 2000);
}

function head(s) {
  document.getElementById('client').textContent = s.clientId;
  show(document.getElementById('links'),
    pill('Broker', s.broker.up, since(s.broker.since)), pill('Platform', s.platform.up, since(s.platform.since)));
}

const pill = (name, up, text) => h('span', {class: 'pill ' + (up ? 'good' : 'bad')}, h('b', {}, name), up ? ' up ' : ' down ', text);

document.getElementById('skip').addEventListener('click', (e) => {
  e.preventDefault();
  main.focus();
});
logout.addEventListener('click', () => {
  login.clear();
  location.reload();
});
logout.hidden = !login.get();
window.addEventListener('hashchange', () => open(true));
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && heartbeat());
open(false);
heartbeat();
