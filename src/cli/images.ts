/** The flags that say how a picture becomes an input tensor. */
import { type Command, Option } from 'commander';
import { isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import { shapeText } from '../core/shape';
import type { ImageProcessing } from '../format/model';
import type { Value } from '../graph/ir';
import { imageSize, numberList } from './files';

export interface ImageFlags {
  imageInput?: string;
  imageLayout?: ImageProcessing['layout'];
  imageChannels?: ImageProcessing['channels'];
  imageMean?: number[];
  imageScale?: number[];
  imageSize?: [number, number];
}

export const imageOptions = (command: Command): Command =>
  command
    .option('--image-input <name>', 'the input that takes pictures (default: the only one)')
    .addOption(new Option('--image-layout <layout>', 'order of its axes (default: by its shape)').choices(['nchw', 'nhwc']))
    .addOption(new Option('--image-channels <order>', 'order of its channels (default: rgb)').choices(['rgb', 'bgr', 'gray']))
    .option('--image-mean <list>', 'subtracted from pixels 0..255, one number or one a channel', numberList)
    .option('--image-scale <list>', 'what pixels are then multiplied by', numberList)
    .option('--image-size <WxH>', 'size of pictures where the model leaves it free', imageSize);

/** What the flags say, or undefined when none was given. Throws ARGUMENT. */
export function imageProcessing(flags: ImageFlags, inputs: readonly Value[]): ImageProcessing | undefined {
  const { imageInput, imageLayout, imageChannels, imageMean, imageScale, imageSize } = flags;
  if (!(imageInput ?? imageLayout ?? imageChannels ?? imageMean ?? imageScale ?? imageSize)) return undefined;
  const input = imageInput ? inputs.find((x) => x.name === imageInput) : inputs[0];
  if (!input || (!imageInput && inputs.length > 1))
    throw new WaferError('ARGUMENT', imageInput ? `the model has no input "${imageInput}"` : 'the model has several inputs', {
      hint: `--image-input takes one of ${inputs.map((x) => `"${x.name}"`).join(', ')}`,
    });
  const { shape } = input.type;
  const depth = (axis: number) => (shape.length === 4 && isStatic(shape[axis]!) ? shape[axis]! : undefined);
  const isDepth = (d: unknown) => d === 1 || d === 3;
  const layout = imageLayout ?? (isDepth(depth(1)) || !isDepth(depth(3)) ? 'nchw' : 'nhwc');
  const channels = imageChannels ?? (depth(layout === 'nchw' ? 1 : 3) === 1 ? 'gray' : 'rgb');
  const count = channels === 'gray' ? 1 : 3;
  const found = depth(layout === 'nchw' ? 1 : 3);
  if (shape.length !== 4 || (found !== undefined && found !== count))
    throw new WaferError('ARGUMENT', `input "${input.name}" ${shapeText(shape)} takes no ${channels} pictures in ${layout}`);
  const each = (name: string, values: number[] | undefined, otherwise: number): number[] => {
    const list = values ?? [otherwise];
    if (list.length !== 1 && list.length !== count)
      throw new WaferError('ARGUMENT', `--image-${name} has ${list.length} numbers, pictures have ${count} channels`);
    return Array.from({ length: count }, (_, c) => list[c % list.length]!);
  };
  return { input: input.name, layout, channels, mean: each('mean', imageMean, 0), scale: each('scale', imageScale, 1) };
}
