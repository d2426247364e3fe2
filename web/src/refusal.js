// Why a file is refused and what can be done, in one sentence each.
export class Refusal extends Error {
  constructor(reason, advice = "") {
    super(`${reason}.${advice ? ` ${advice}` : ""}`);
    this.reason = reason;
    this.advice = advice;
  }
}
