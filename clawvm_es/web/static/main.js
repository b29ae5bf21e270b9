// Starts the page: over a server, or over what an exported file holds.

import {$} from './dom.js';
import {App} from './app.js';
import {Packed, inFile} from './file.js';
import {Server} from './source.js';

/** Addresses of a served page are its paths; those of a file are its fragments, so that nothing is requested. */
const paths = {
  read: () => [location.pathname, location.search],
  write: (address, replace) => {
    if (address !== location.pathname + location.search) history[replace ? 'replaceState' : 'pushState'](null, '', address);
  },
};
const fragments = {
  read: () => location.hash.slice(1).split('?'),
  write: (address, replace) => {
    if (address !== location.hash.slice(1)) history[replace ? 'replaceState' : 'pushState'](null, '', `#${address}`);
  },
};

async function start() {
  const app = inFile() ? new App(await Packed.open(), fragments) : new App(new Server(), paths);
  addEventListener('popstate', () => app.arrive());
  if (!location.hash && inFile()) fragments.write(`/s/${app.source.key}`, true);
  document.body.app = app;
  await app.arrive();
}

start().catch((error) => {
  $('list').hidden = false;
  $('list').textContent = error.message;
  document.body.dataset.rest = 'yes';
  console.error(error);
});
