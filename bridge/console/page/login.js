// The log-in: the console's token, or its user name and password.

import {login} from './api.js';
import {h} from './dom.js';

export function loginForm(main, wrong, attempt) {
  const why = h('p', {role: 'alert', class: 'bad-text'}, wrong ? 'That log-in is not valid any more.' : '');
  const token = h('input', {id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false'});
  const user = h('input', {id: 'user', type: 'text', autocomplete: 'username', spellcheck: 'false', autocapitalize: 'none'});
  const password = h('input', {id: 'password', type: 'password', autocomplete: 'current-password'});
  const button = h('button', {type: 'submit', class: 'first'}, 'Log in');
  const submit = async (e) => {
    e.preventDefault();
    const header = token.value ? login.token(token.value.trim()) : login.password(user.value, password.value);
    button.disabled = true;
    try {
      await attempt(header);
    } catch (fault) {
      why.textContent = fault.status === 401 ? 'The bridge does not take that.' : fault.message;
      button.disabled = false;
      (token.value ? token : password).select();
    }
  };
  main.replaceChildren(h('form', {id: 'login', class: 'card login', onsubmit: submit},
    h('h1', {}, 'Log in'), why,
    h('label', {for: 'token'}, 'Token'), token,
    h('p', {class: 'dim'}, 'It is the key console.token of the configuration.'),
    h('details', {}, h('summary', {}, 'User name and password instead'),
      h('label', {for: 'user'}, 'User name'), user, h('label', {for: 'password'}, 'Password'), password),
    button,
    h('p', {class: 'dim'}, 'It is kept until this tab is closed.')));
  token.focus();
}
