/**
 * Draws text with the installed fonts, in a headless browser: single lines and whole pages, Latin and Chinese, for the
 * demo's sample, the tests' pictures, calibration and evaluation. What is drawn depends on the seed alone, how it looks on
 * the fonts too, so that the few pictures which tests rely on are committed. Run it to draw those anew.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser } from 'puppeteer-core';
import { WaferError } from '../src/core/errors';
import { launchBrowser } from './browser';

/** One line of text and how it looks. */
export interface DrawnLine {
  text: string;
  /** CSS font families, best first. */
  family: string;
  /** Pixels. */
  size: number;
  weight: 400 | 700;
  color: string;
  background: string;
}

const latin = ['DejaVu Sans', 'DejaVu Serif', 'DejaVu Sans Mono', 'Liberation Sans', 'Liberation Serif'];
const chinese = ['Noto Sans CJK SC', 'Noto Serif CJK SC', 'WenQuanYi Zen Hei'];
const inks: readonly (readonly [color: string, background: string])[] = [
  ['#111111', '#ffffff'],
  ['#1d3557', '#f1faee'],
  ['#f8f8f8', '#22223b'],
  ['#5c3d2e', '#e8dcc8'],
  ['#ffffff', '#b23a48'],
  ['#444444', '#d8dee9'],
];

const words =
  'about above account across action address after again against agree airport almost along already always amount animal answer anything apple area around arrive article autumn average balance bank basket beautiful become before begin behind believe below between bicycle bird black blue board book border bottle bottom branch bread bridge bright bring brother brown build business button buy camera careful carry castle center certain chair change cheap check children choose church circle city class clean clear climb clock close cloud coffee cold collect color company compare complete computer condition consider contain control cook copper corner correct cost cotton count country course cover create cross crowd culture current customer dance danger dark daughter decide deep delivery depend describe desert design detail develop different difficult dinner direct discover discuss distance divide doctor double draw dream dress drive during early earth east easy edge education effect eight either electric empty energy engine enjoy enough enter equal evening every example except exercise expect explain express factory family famous farm father favorite field figure final finger finish fire first flower follow foreign forest forget forward freedom fresh friend front fruit future garden gather general gentle glass global gold grand grass great green ground group grow guide half hand happen happy harbor hard health heart heavy height help history holiday hospital hotel house hundred idea important include increase indeed industry inform inside instead interest island journey judge jump keep key kitchen knowledge lamp language large later laugh leader learn leather leave lemon lesson letter level library light limit listen little local machine manage market matter measure meeting member memory metal method middle milk minute mirror modern moment money month morning mother mountain music narrow nation natural nature near necessary never night north nothing notice number object ocean office often open orange order other outside paper parent park party people perfect perhaps person picture piece place plain planet plant plate please point police popular position possible power practice prepare present pretty price print private problem process produce program project promise protect proud public purple purpose quality quarter question quick quiet railway rain reach ready reason receive record region remember repair repeat report request result return river road rock room round safety school science season second secret select sentence separate serious service seven several shape share sharp short should shoulder silver similar simple single sister size sleep small smile snow social soft soil solid someone song sound south space special speed spring square stage station steel step stone store storm story strange street strong student study subject success sudden sugar suggest summer sun support surface surprise sweet system table teach temperature thank theater thing think thousand ticket together tomorrow total toward tower town trade traffic train travel tree trouble true trust under understand unit until useful usual valley value various village visit voice wait walk wall warm wash watch water weather week weight welcome west wheel white whole window winter wire wish without wonder wood word work world write yellow young'.split(
    ' ',
  );
const phrases =
  '中国 北京 上海 广州 深圳 欢迎光临 营业时间 禁止吸烟 请勿触摸 小心地滑 出口 入口 安全通道 紧急出口 洗手间 服务中心 咨询电话 办公室 会议室 图书馆 博物馆 火车站 飞机场 地铁站 公共汽车 出租车 停车场 人民医院 第一中学 科技大学 实验室 研究所 有限公司 股份公司 电子商务 互联网 人工智能 机器学习 神经网络 计算机 手机 电视 冰箱 空调 洗衣机 水果 蔬菜 牛奶 面包 咖啡 绿茶 米饭 面条 饺子 包子 春天 夏天 秋天 冬天 今天 明天 昨天 星期一 星期日 早上 中午 晚上 天气预报 晴转多云 小雨 大雪 温度 湿度 东风 西北 南方 北方 太阳 月亮 星星 山水 河流 大海 森林 草原 沙漠 城市 农村 街道 桥梁 高速公路 铁路 航空 运输 快递 包裹 邮局 银行 现金 信用卡 支付 价格 优惠 打折 会员 积分 免费 赠送 限时 抢购 新品上市 产品名称 生产日期 保质期 配料表 净含量 使用方法 注意事项 贮存条件 地址 电话 传真 网址 邮编 姓名 性别 年龄 职业 学历 经济 政治 文化 教育 科学 技术 历史 地理 音乐 美术 体育 足球 篮球 游泳 跑步 健康 医疗 保险 法律 合同 发票 收据 通知 公告 报告 计划 总结 目标 质量 管理 安全 环境 保护 绿色 发展 创新 合作 共赢 未来 世界 和平 友谊 家庭 父母 孩子 老师 学生 朋友 同事 经理 工程师 设计师 医生 护士 警察 司机 学习 工作 生活 快乐 幸福 平安 成功 努力 坚持 希望 梦想 光明 道路 前进 时间 空间 速度 重量 长度 面积 体积 数量 百分比 公斤 公里 小时 分钟'.split(
    ' ',
  );

/** A seeded source of choices (mulberry32). */
class Chance {
  constructor(private state: number) {}

  /** 0 ≤ x < 1 */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number, low ≤ n ≤ high. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  of<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)]!;
  }
}

/** Lines of words, numbers, prices, dates, addresses and Chinese phrases; every other line is Chinese. */
export function drawLines(seed: number, count: number): DrawnLine[] {
  const chance = new Chance(seed);
  return Array.from({ length: count }, (_, index) => {
    const isChinese = index % 2 === 1;
    const [color, background] = chance.of(inks);
    return {
      text: isChinese ? chineseText(chance) : latinText(chance),
      family: isChinese ? `${chance.of(chinese)}, ${chinese.join(', ')}` : chance.of(latin),
      size: chance.whole(20, 40),
      weight: chance.next() < 0.3 ? 700 : 400,
      color,
      background,
    };
  });
}

function latinText(chance: Chance): string {
  const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
  const run = (count: number) => Array.from({ length: count }, () => chance.of(words)).join(' ');
  const number = () => chance.whole(1, 9999);
  switch (chance.whole(0, 5)) {
    case 0:
      return `${capital(run(chance.whole(2, 5)))}.`;
    case 1:
      return run(2).toUpperCase();
    case 2:
      return `${capital(chance.of(words))}: $${number()}.${chance.whole(10, 99)}`;
    case 3:
      return `${2000 + chance.whole(0, 29)}-${chance.whole(10, 12)}-${chance.whole(10, 28)} ${capital(chance.of(words))} ${number()}`;
    case 4:
      return `www.${chance.of(words)}-${chance.of(words)}.com`;
    default:
      return `${capital(run(chance.whole(1, 3)))} (${number()})`;
  }
}

function chineseText(chance: Chance): string {
  const run = (count: number) => Array.from({ length: count }, () => chance.of(phrases)).join('');
  switch (chance.whole(0, 3)) {
    case 0:
      return `${run(1)}：${run(chance.whole(1, 3))}`;
    case 1:
      return `${chance.of(phrases)}${chance.whole(1, 999)}${chance.of(['元', '号', '个', '年', '米'])}`;
    case 2:
      return `${run(2)}，${run(2)}`;
    default:
      return run(chance.whole(2, 5));
  }
}

/** Draws each line on a picture of its own with a margin around it; PNG files, in order. */
export async function renderLines(browser: Browser, lines: readonly DrawnLine[]): Promise<Uint8Array[]> {
  const page = await browser.newPage();
  try {
    const encoded = await page.evaluate(drawOnCanvases, lines as DrawnLine[]);
    return encoded.map((base64) => new Uint8Array(Buffer.from(base64, 'base64')));
  } finally {
    await page.close();
  }
}

/** Runs in the page. */
function drawOnCanvases(lines: DrawnLine[]): string[] {
  return lines.map(({ text, family, size, weight, color, background }) => {
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d')!;
    const font = `${weight} ${size}px ${family}`;
    context.font = font;
    canvas.width = Math.ceil(context.measureText(text).width + size);
    canvas.height = Math.ceil(size * 1.6);
    context.fillStyle = background;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = color;
    context.font = font;
    context.textBaseline = 'middle';
    context.fillText(text, size / 2, canvas.height / 2);
    return canvas.toDataURL('image/png').slice('data:image/png;base64,'.length);
  });
}

/** Draws HTML as a picture of the given size in pixels; a PNG file. */
export async function renderHtml(browser: Browser, html: string, width: number, height: number): Promise<Uint8Array> {
  const page = await browser.newPage();
  try {
    await page.setViewport({ width, height });
    await page.setContent(html);
    return await page.screenshot({ type: 'png' });
  } finally {
    await page.close();
  }
}

/** A page with a paragraph for each line, some on a tilt, as HTML. */
export function pageHtml(seed: number, lines: readonly DrawnLine[]): string {
  const chance = new Chance(seed);
  const [, background] = chance.of(inks);
  const paragraph = (line: DrawnLine) =>
    `<p style="font:${line.weight} ${Math.round(line.size * 0.7)}px ${line.family};color:${line.color};background:${line.background};margin-left:${chance.whole(0, 120)}px;rotate:${chance.next() < 0.2 ? chance.whole(-2, 2) : 0}deg">${line.text}</p>`;
  return `<!doctype html><style>body{margin:12px;background:${background}}p{margin:5px 0;padding:2px 8px;width:fit-content;white-space:nowrap}</style>${lines.map(paragraph).join('')}`;
}

/** Fonts that the pictures are drawn with, as Debian packages. */
const fontPackages = ['fonts-dejavu', 'fonts-liberation', 'fonts-noto-cjk', 'fonts-wqy-zenhei'];

/** Whether a Chinese font is installed; without one a picture would show boxes. */
export async function hasFonts(): Promise<boolean> {
  const listed = await promisify(execFile)('fc-list', [':lang=zh-cn', 'family']).catch(() => ({ stdout: '' }));
  return listed.stdout.trim() !== '';
}

/** Installs the fonts where they are missing and this may be done: as root on Debian. Whether they are there afterwards. */
export async function installFonts(): Promise<boolean> {
  if (await hasFonts()) return true;
  if (process.getuid?.() !== 0) return false;
  const apt = (...args: string[]) => promisify(execFile)('apt-get', args).catch(() => undefined);
  await apt('update');
  await apt('install', '-y', '--no-install-recommends', 'fontconfig', ...fontPackages);
  return hasFonts();
}

/** Drawn for the tests, every font among them; the ONNX networks read each as written. */
const testLines: readonly Pick<DrawnLine, 'text' | 'family'>[] = [
  { text: 'Quiet harbor at noon', family: 'DejaVu Sans' },
  { text: '今天天气很好', family: 'Noto Sans CJK SC' },
  { text: 'Total: $48.90', family: 'Liberation Serif' },
  { text: '小心地滑，请勿奔跑', family: 'WenQuanYi Zen Hei' },
  { text: 'wafer@example.com', family: 'Liberation Sans' },
  { text: '上海图书馆', family: 'Noto Serif CJK SC' },
  { text: '2026-11-24', family: 'DejaVu Sans Mono' },
  { text: '第12层会议室', family: 'Noto Sans CJK SC' },
  { text: 'Crossroads', family: 'DejaVu Serif' },
  { text: '满300元减50元', family: 'WenQuanYi Zen Hei' },
];

/** Seeds of the sets that must not share a picture. */
export const seeds = { calibration: 1000, evaluation: 2000, training: 3000 } as const;

/** Pages of twelve lines each; PNG files. */
export async function renderPages(browser: Browser, seed: number, count: number): Promise<Uint8Array[]> {
  const pages: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const html = pageHtml(seed + index, drawLines(seed + index, 12));
    pages.push(await renderHtml(browser, html, 640, 448));
  }
  return pages;
}

/** Draws the committed pictures anew: the demo's sample, its calibration pages and lines, and the tests' lines. */
async function drawCommitted(): Promise<void> {
  if (!(await installFonts()))
    throw new WaferError('NOT_FOUND', 'no Chinese font is installed', { hint: `install ${fontPackages.join(' ')}` });
  const save = (path: string, png: Uint8Array) => {
    writeFileSync(path, png);
    process.stdout.write(`${path} ${png.length} bytes\n`);
  };
  const browser = await launchBrowser();
  try {
    save('demo/ocr/sample.png', await renderHtml(browser, readFileSync('demo/ocr/sample.html', 'utf8'), 640, 720));
    mkdirSync('demo/ocr/calibration', { recursive: true });
    const pages = await renderPages(browser, seeds.calibration, 12);
    pages.forEach((png, index) => save(`demo/ocr/calibration/page-${index + 1}.png`, png));
    const single = await renderLines(browser, drawLines(seeds.calibration, 64));
    single.forEach((png, index) => save(`demo/ocr/calibration/line-${index + 1}.png`, png));
    mkdirSync('test/demo/lines', { recursive: true });
    const looks = drawLines(1, testLines.length);
    const lines = testLines.map((line, index) => ({ ...looks[index]!, ...line }));
    (await renderLines(browser, lines)).forEach((png, index) => save(join('test/demo/lines', `line-${index + 1}.png`), png));
    writeFileSync(
      'test/demo/lines/texts.json',
      `${JSON.stringify(
        testLines.map(({ text }) => text),
        null,
        2,
      )}\n`,
    );
  } finally {
    await browser.close();
  }
}

if (process.argv[1]?.endsWith('render-lines.ts')) await drawCommitted();
