/**
 * Browsers of other engines, driven only as far as a check needs: open a page and wait for what it leaves in
 * `window.result`. Chromium comes from scripts/browser.ts; Firefox and WebKitGTK are used where Debian's `firefox-esr`
 * and `webkit2gtk-driver` (with `xvfb`) are installed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import puppeteer, { type Browser } from 'puppeteer-core';
import { launchBrowser } from '../../scripts/browser';

/** Opens `url` and returns `window.result` once it is set, however long that takes; rejects when the engine is stopped. */
export type Visit = (url: string) => Promise<unknown>;

export interface Driver {
  name: string;
  /** Undefined where the engine is not installed. */
  start(): Promise<{ visit: Visit; stop(): Promise<void> } | undefined>;
}

const visitor =
  (browser: Browser): Visit =>
  async (url) => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.waitForFunction('window.result', { timeout: 0, polling: 200 });
    const result = await page.evaluate('window.result');
    await page.close();
    return result;
  };

export const chromium = (name: string, args: readonly string[] = []): Driver => ({
  name,
  async start() {
    const browser = await launchBrowser({ args });
    return { visit: visitor(browser), stop: () => browser.close() };
  },
});

/** With these preferences; undefined where it is not installed. The caller closes it. */
export async function launchFirefox(preferences: Readonly<Record<string, unknown>> = {}): Promise<Browser | undefined> {
  const executablePath = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync);
  if (!executablePath) return undefined;
  return puppeteer.launch({ browser: 'firefox', executablePath, headless: true, extraPrefsFirefox: { ...preferences } });
}

export const firefox: Driver = {
  name: 'firefox',
  async start() {
    const browser = await launchFirefox();
    return browser && { visit: visitor(browser), stop: () => browser.close() };
  },
};

/** WebKitGTK has no headless mode: its driver runs under a virtual display and is spoken to in plain WebDriver. */
export const webkit: Driver = {
  name: 'webkit',
  async start() {
    if (!['/usr/bin/WebKitWebDriver', '/usr/bin/Xvfb'].every(existsSync)) return undefined;
    const display = `:${90 + (process.pid % 400)}`;
    const children: ChildProcess[] = [spawn('Xvfb', [display, '-screen', '0', '800x600x24'], { stdio: 'ignore' })];
    await pause(1000);
    const port = await freePort();
    children.push(
      spawn('WebKitWebDriver', [`--port=${port}`], {
        stdio: 'ignore',
        env: { ...process.env, DISPLAY: display, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' },
      }),
    );
    const call = async (method: string, path: string, body?: object) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const { value } = (await response.json()) as { value: { error?: string; message?: string; sessionId?: string } | null };
      if (value?.error) throw new Error(`WebDriver ${path}: ${value.error} ${value.message ?? ''}`);
      return value;
    };
    const stop = () => {
      for (const child of children.splice(0).reverse()) child.kill();
    };
    process.once('exit', stop);
    try {
      await answering(() => call('GET', '/status'));
      const session = `/session/${(await call('POST', '/session', { capabilities: {} }))!.sessionId}`;
      return {
        async visit(url) {
          await call('POST', `${session}/url`, { url });
          for (;;) {
            const result = await call('POST', `${session}/execute/sync`, { script: 'return window.result || null', args: [] });
            if (result) return result;
            await pause(200);
          }
        },
        async stop() {
          await call('DELETE', session).catch(() => {});
          stop();
        },
      };
    } catch (error) {
      stop();
      throw error;
    }
  },
};

async function answering(ask: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await ask();
      return;
    } catch (error) {
      if (attempt === 50) throw error;
      await pause(100);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
