/** What a report is made of: plain data, which survives JSON. A part that is missing or empty leaves its section out. */

export interface Report {
  /** Such as a model's name. */
  readonly title: string;
  /** A sentence or two under the title. */
  readonly summary?: string;
  /** Side by side; differences are to the first, which is what it all began with. */
  readonly files?: readonly FileFigures[];
  /** In order. Those with a size and a quality are points of the curve, as files are. */
  readonly steps?: readonly StepReport[];
  /** What each layer alone costs, by format or ratio. */
  readonly sensitivity?: readonly LayerSensitivity[];
  /** What takes the bytes of files. */
  readonly storage?: readonly FileStorage[];
  /** What weights and what layers compute are spread over. */
  readonly histograms?: readonly FileHistograms[];
  readonly training?: readonly TrainingCurve[];
  /** Names and texts at the end: the command, the data, versions. */
  readonly facts?: readonly (readonly [name: string, text: string])[];
}

/** What can be said of a model. Shares are in percent. A figure that is missing was not measured. */
export interface ReportFigures {
  /** Of the file. */
  readonly bytes?: number;
  /** On average. */
  readonly bitsPerWeight?: number;
  readonly top1?: number;
  readonly top5?: number;
  /** Characters and texts read right. */
  readonly characters?: number;
  readonly texts?: number;
  /** The same class as the model compared with, characters alike, texts alike. */
  readonly agreement?: number;
  readonly sameCharacters?: number;
  readonly sameTexts?: number;
  /** Intersection over union of maps, 0..1. */
  readonly iou?: number;
  /** Signal to noise against the model compared with, in dB. */
  readonly sqnr?: number;
  /** Of a run, in milliseconds: in Node, and in a browser. */
  readonly ms?: number;
  readonly browserMs?: number;
  /** Bytes that a run has planned: activations and weights. */
  readonly memory?: number;
  /** Multiply-accumulates of a run. */
  readonly macs?: number;
  readonly parameters?: number;
}

export interface FileFigures extends ReportFigures {
  readonly name: string;
}

export interface StepReport {
  readonly name: string;
  /** What it did, in words. */
  readonly what: string;
  readonly before: ReportFigures;
  readonly after: ReportFigures;
  /** False for a step that was rolled back. */
  readonly kept: boolean;
  /** What became of it, where that is said otherwise. */
  readonly outcome?: string;
  /** Why it was kept or rolled back. */
  readonly why?: string;
  readonly seconds: number;
}

/** `packer/quantize/budget.ts`'s `Sensitivity` is one, its formats being the names. */
export interface LayerSensitivity {
  readonly layer: string;
  readonly weights?: number;
  readonly choices: readonly {
    /** A format or a ratio, in words. */
    readonly format: string;
    /** Of the outputs: noise over signal, or points lost. */
    readonly error: number;
  }[];
  /** The format that it was given. */
  readonly chosen?: string;
}

export interface FileStorage {
  readonly file: string;
  readonly layers: readonly LayerStorage[];
}

export interface LayerStorage {
  readonly layer: string;
  readonly elements: number;
  readonly parts: readonly { readonly encoding: string; readonly bytes: number }[];
}

export interface FileHistograms {
  readonly file: string;
  readonly weights: readonly Distribution[];
  readonly activations: readonly Distribution[];
}

/** A histogram: counts in bins of equal width from `low` to `high`. */
export interface Distribution {
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
  /** Part of the elements that are exactly 0; they are not in `counts`. */
  readonly zeros?: number;
}

export interface TrainingCurve {
  readonly name: string;
  readonly epochs: readonly {
    readonly epoch: number;
    readonly loss: number;
    /** In percent. */
    readonly top1?: number;
  }[];
}
