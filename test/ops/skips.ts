/** Cases that are known to fail, by address, with the reason. A case that passes although it is listed fails the suite. */
export const SKIPS: Readonly<Record<string, string>> = {};
