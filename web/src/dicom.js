import { Refusal } from "./refusal.js";

export async function readDicom() {
  throw new Refusal("it is a DICOM file, which this page does not read yet");
}
