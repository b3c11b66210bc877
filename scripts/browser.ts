/**
 * Finds a Chromium-family browser, or gets one, and launches it headless. Order: the CHROME variable; one that is
 * installed; puppeteer's own download (kept in puppeteer's cache); as root on Debian, apt-get. A browser counts as
 * found only if it answers `--version`: a downloaded one may lack system libraries. The packages that do this are loaded
 * when they are needed, so that the command line starts without them.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser } from 'puppeteer-core';
import { WaferError } from '../src/core/errors';
import { installFromDebian, onStderr, type Report } from './debian';

/**
 * The path of a browser that runs on this machine, downloading or installing one where there is none.
 * Throws a WaferError that says what to install.
 */
export async function findBrowser(report: Report = onStderr): Promise<string> {
  const chosen = process.env.CHROME;
  if (chosen) {
    if (await answers(chosen)) return chosen;
    throw new WaferError('NOT_FOUND', `CHROME is ${chosen}, which does not run`, {
      hint: 'set CHROME to a browser, or unset it',
    });
  }
  const ways = [onSystem, inCache, download, fromDebian];
  for (const way of ways) {
    const path = await way(report);
    if (path) return path;
  }
  throw new WaferError('NOT_FOUND', 'no Chromium-family browser was found, and none could be installed', {
    hint: 'install Chromium, Chrome or Edge (Debian: apt-get install chromium), or set CHROME to its path',
  });
}

export interface LaunchOptions {
  /** Flags beyond those that every launch has. */
  args?: readonly string[];
  report?: Report;
}

/** A headless browser that keeps to itself: no background traffic, no first-run pages. The caller closes it. */
export async function launchBrowser({ args = [], report = onStderr }: LaunchOptions = {}): Promise<Browser> {
  const { launch } = await import('puppeteer-core');
  const executablePath = await findBrowser(report);
  return launch({
    executablePath,
    headless: true,
    args: [
      // The sandbox refuses to start as root.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...args,
    ],
  }).catch((error: Error) => {
    throw new WaferError('NOT_FOUND', `${executablePath} does not start as a browser: ${error.message.split('\n')[0]}`, {
      hint: 'set CHROME to the path of another browser',
    });
  });
}

/**
 * Flags with which Chromium has WebGPU on a machine without a GPU: SwiftShader has all of core, and OpenGL ES is the real case of
 * what has no more than compatibility mode.
 */
export const gpuFlags = (level: 'core' | 'compatibility'): string[] => [
  '--enable-unsafe-webgpu',
  `--use-webgpu-adapter=${level === 'core' ? 'swiftshader' : 'opengles'}`,
];

/** A browser with this machine's GPU, or with a software one where there is none. */
export async function launchWithGpu({ args = [], report = onStderr }: LaunchOptions = {}): Promise<Browser> {
  const launch = (flags: string[]) => launchBrowser({ args: [...args, ...flags], report });
  if (hasGpu !== false) {
    const browser = await launch(['--enable-unsafe-webgpu']);
    const page = await browser.newPage();
    await page.goto('chrome://version');
    hasGpu ??= await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
    await page.close();
    if (hasGpu) return browser;
    await browser.close();
    report('No GPU on this machine: a software one is used.');
  }
  return launch(gpuFlags('core'));
}

/** Once a browser was asked. */
let hasGpu: boolean | undefined;

const commands = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge'];

function usualPlaces(): string[] {
  const { platform, env } = process;
  if (platform === 'darwin') {
    const apps = ['Chromium', 'Google Chrome', 'Microsoft Edge', 'Brave Browser'];
    return ['/Applications', join(homedir(), 'Applications')].flatMap((root) =>
      apps.map((app) => join(root, `${app}.app`, 'Contents/MacOS', app)),
    );
  }
  if (platform === 'win32') {
    const apps = [
      'Google\\Chrome\\Application\\chrome.exe',
      'Chromium\\Application\\chrome.exe',
      'Microsoft\\Edge\\Application\\msedge.exe',
    ];
    return [env.ProgramFiles, env['ProgramFiles(x86)'], env.LOCALAPPDATA].flatMap((root) =>
      root ? apps.map((app) => join(root, app)) : [],
    );
  }
  return ['/snap/bin/chromium', '/opt/google/chrome/chrome', '/usr/lib/chromium/chromium'];
}

async function onSystem(): Promise<string | undefined> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const onPath = commands.flatMap((command) => folders.map((folder) => join(folder, command + suffix)));
  for (const path of [...onPath, ...usualPlaces()]) if (existsSync(path) && (await answers(path))) return path;
  return undefined;
}

/** The version of Chrome that this puppeteer was made for. */
async function pinned() {
  const { Browser: Brand } = await import('@puppeteer/browsers');
  const { PUPPETEER_REVISIONS } = await import('puppeteer-core/internal/revisions.js');
  return {
    browser: Brand.CHROME,
    buildId: PUPPETEER_REVISIONS.chrome,
    cacheDir: process.env.PUPPETEER_CACHE_DIR ?? join(homedir(), '.cache', 'puppeteer'),
  };
}

async function inCache(): Promise<string | undefined> {
  const { computeExecutablePath } = await import('@puppeteer/browsers');
  const path = computeExecutablePath(await pinned());
  return existsSync(path) && (await answers(path)) ? path : undefined;
}

async function download(report: Report): Promise<string | undefined> {
  const { canDownload, install } = await import('@puppeteer/browsers');
  const wanted = await pinned();
  report(`No browser on this machine: downloading Chrome ${wanted.buildId} to ${wanted.cacheDir} ...`);
  try {
    if (!(await within(20_000, canDownload(wanted)))) {
      report('  the download cannot be reached.');
      return undefined;
    }
    const { executablePath } = await install(wanted);
    if (await answers(executablePath)) return executablePath;
    report('  downloaded, but it does not run: system libraries are missing.');
  } catch (error) {
    report(`  the download failed: ${error instanceof Error ? error.message : error}`);
  }
  return undefined;
}

async function fromDebian(report: Report): Promise<string | undefined> {
  return (await installFromDebian('chromium', report)) ? onSystem() : undefined;
}

/** Whether the executable starts. On Windows `--version` would open a window, so that being there must do. */
async function answers(path: string): Promise<boolean> {
  if (process.platform === 'win32') return existsSync(path);
  return promisify(execFile)(path, ['--version'], { timeout: 20_000 }).then(
    () => true,
    () => false,
  );
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return Promise.race([
    promise,
    new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`no answer in ${ms / 1000} s`)), ms).unref()),
  ]);
}
