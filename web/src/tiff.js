import { Refusal } from "./refusal.js";

export async function readTiff() {
  throw new Refusal("it is a TIFF file, which this page does not read yet");
}
