// Why a file is rejected and what can be done, in one sentence each.
export class Rejection extends Error {
  constructor(reason, advice = "") {
    super(`${reason}.${advice ? ` ${advice}` : ""}`);
    this.reason = reason;
    this.advice = advice;
  }
}
