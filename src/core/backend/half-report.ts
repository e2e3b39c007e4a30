/** What a backend says about matrix products whose inputs are rounded to float16. */
export interface HalfReport {
  /** Whether `withHalfProducts` has an effect. */ readonly isReady: boolean;
  /** Lines for people: what is used, what is not and why. */ readonly details: readonly string[];
}
