/**
 * Downloads without end over some connections, and again where one ends. Prints how many octets have come in all, each
 * second. Arguments: URL, CA file, number of connections.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';

const RETRY_MS = 200;

const [url = '', caFile = '', connections = ''] = process.argv.slice(2);
const options = { ca: readFileSync(caFile), agent: false };
let total = 0;

function download(): void {
  let isOver = false;
  const again = (): void => {
    if (isOver) return;
    isOver = true;
    setTimeout(download, RETRY_MS);
  };
  const asked = request(url, options, (response) => {
    response.on('data', (chunk: Buffer) => (total += chunk.length));
    response.on('close', again);
    response.on('error', again);
  });
  asked.on('error', again);
  asked.end();
}

for (let count = 0; count < Number(connections); count += 1) download();
setInterval(() => console.log(total), 1000);
