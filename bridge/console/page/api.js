// Asks the bridge. The log-in is a header that is kept for this tab's session;
// there are no cookies.

const STORE = 'thingbridge-login';

// Refused is an answer that is none.
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const login = {
  get: () => sessionStorage.getItem(STORE) || '',
  set: (header) => sessionStorage.setItem(STORE, header),
  clear: () => sessionStorage.removeItem(STORE),
  token: (text) => 'Bearer ' + text,
  password: (user, text) => {
    const all = new TextEncoder().encode(user + ':' + text);
    return 'Basic ' + btoa(String.fromCharCode(...all));
  },
};

export async function ask(path, {method = 'GET', body, signal, header = login.get()} = {}) {
  const headers = {'Thingbridge-Page': '1'};
  if (header) headers.Authorization = header;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(path, {method, headers, body, signal, cache: 'no-store', credentials: 'same-origin'});
  if (answer.ok) return answer;
  let text = `the bridge answers ${answer.status}`;
  try {
    text = (await answer.json()).error || text;
  } catch { /* it is no JSON, then the number must do */ }
  throw new Refused(answer.status, text);
}

export const get = async (path, options) => (await ask(path, options)).json();

// call calls a service; inputs is JSON text.
export async function call(thing, service, inputs, signal) {
  const path = `/api/v1/things/${encodeURIComponent(thing)}/services/${encodeURIComponent(service)}`;
  return (await ask(path, {method: 'POST', body: inputs, signal})).json();
}

// stream reads server-sent events and gives each to on(name, data) until the
// signal ends it or the bridge does.
export async function stream(path, on, signal) {
  const answer = await ask(path, {signal});
  on('open');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    rest += value;
    let end;
    while ((end = rest.indexOf('\n\n')) >= 0) {
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      let name = 'message';
      let data = '';
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) name = line.slice(7);
        else if (line.startsWith('data: ')) data += line.slice(6);
      }
      if (data) on(name, JSON.parse(data));
    }
  }
}
