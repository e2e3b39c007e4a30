/** A number that a gate watches. */
export interface Measure {
  /** E.g. `student.nll` or `arc_easy.acc`. */ readonly name: string;
  readonly value: number;
  readonly better: 'lower' | 'higher';
  /** Per item 0 or 1, in the items' order, for accuracies: they are compared item by item; null for other numbers. */ readonly outcomes: readonly number[] | null;
}

/** What two runs must have in common before their numbers can be compared. */
export interface Subject {
  /** What the model is: kind, widths, T, vocabulary; its weights may differ. */ readonly model: Readonly<Record<string, number | string>>;
  /** What it was measured on and how: hashes of texts, versions of tasks, window, precision. */ readonly measuredOn: Readonly<Record<string, number | string>>;
}

/** One run as a gate sees it. */
export interface Measured {
  readonly subject: Subject;
  readonly measures: readonly Measure[];
}
