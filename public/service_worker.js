// Keeps the whole page on the device, so that it opens and computes without a network.
//
// The build writes `precache.js`, which names the files of this version. A new version is
// fetched as a whole beside the old one and takes over when the page asks for it or was
// closed everywhere: files of two versions never mix. Packs other than the first one and the
// atlas are not everybody's: they are kept when they are first fetched.
importScripts("./precache.js");

const PREFIX = "prism-page-";
const CACHE = PREFIX + PRECACHE.version;
const LATER = ["/packs/", "/atlas/"];
const PAGE = new URL("./index.html", self.registration.scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) =>
      // Asked of the host, not of the browser's own cache, which may hold another version.
      cache.addAll(PRECACHE.files.map((file) => new Request(file, { cache: "no-cache" }))),
    ),
  );
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== CACHE;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  const page = request.mode === "navigate" && [self.registration.scope, PAGE].includes(url.origin + url.pathname);
  event.respondWith(
    caches
      .open(CACHE)
      .then(async (cache) => {
        const kept = await cache.match(page ? PAGE : request, { ignoreSearch: true });
        if (kept) return kept;
        const fetched = await fetch(request);
        if (fetched.ok && LATER.some((folder) => url.pathname.includes(folder))) {
          // A full disk is no reason to give nothing.
          await cache.put(request, fetched.clone()).catch(() => {});
        }
        return fetched;
      }),
  );
});
