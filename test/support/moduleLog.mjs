/** Preloaded with --import: appends the URL of every module that `import` loads to the file in MODULE_LOG. */
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const isHooks = new URL(import.meta.url).searchParams.has('hooks');
if (!isHooks && isMainThread) register(`${import.meta.url}?hooks`);

export async function load(url, context, next) {
  if (url.startsWith('file:')) appendFileSync(process.env.MODULE_LOG, `${url}\n`);
  return next(url, context);
}
