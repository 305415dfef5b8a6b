/** Preloaded into a program: when it exits, writes the names of Node's own modules that it has loaded to a file. */
const { writeFileSync } = require('node:fs');

process.on('exit', () =>
  writeFileSync(process.env.BUILTIN_MODULES, process.moduleLoadList.join('\n')),
);
