// Loads the worker's module. Written by hand because the build's own loader calls it
// in a form that browsers warn about.
importScripts("./worker.js");
wasm_bindgen({ module_or_path: "./worker_bg.wasm" });
