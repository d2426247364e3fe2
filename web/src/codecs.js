// The decoders of compressed pictures, WebAssembly that stands in the worker's own script.

import CharLS from "@cornerstonejs/codec-charls/decodewasmjs";
import charlsWasm from "@cornerstonejs/codec-charls/decodewasm";
import Turbo from "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs";
import turboWasm from "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm";
import OpenJPEG from "@cornerstonejs/codec-openjpeg/decodewasmjs";
import openjpegWasm from "@cornerstonejs/codec-openjpeg/decodewasm";

import { Rejection } from "./rejection.js";

const CODECS = {
  jpeg: [Turbo, turboWasm, "JPEGDecoder"],
  "jpeg-ls": [CharLS, charlsWasm, "JpegLSDecoder"],
  "jpeg-2000": [OpenJPEG, openjpegWasm, "J2KDecoder"],
};

// Decodes a stream with a decoder of its own, so that a broken file cannot harm the next one.
// Gives the samples and { width, height, bitsPerSample, componentCount, isSigned }.
async function decodeWith(name, stream) {
  const [factory, wasmBinary, Decoder] = CODECS[name];
  const quiet = () => {};
  const codec = await factory({ wasmBinary, print: quiet, printErr: quiet });
  const decoder = new codec[Decoder]();
  try {
    decoder.getEncodedBuffer(stream.length).set(stream);
    decoder.decode();
    const { width, height, bitsPerSample, componentCount, isSigned } = decoder.getFrameInfo();
    const bytes = decoder.getDecodedBuffer().slice();
    return [bytes, { width, height, bitsPerSample, componentCount, isSigned }];
  } catch (error) {
    const why = typeof error === "number" ? codec.getExceptionMessage?.(error) : error?.message;
    throw new Rejection(
      `its picture cannot be decoded (${why ?? "damaged"})`,
      "It may be damaged or cut short: export it again.",
    );
  }
}

// The samples of an 8-bit JPEG stream, grey or red, green and blue.
export async function decodeJpeg(stream, length) {
  const [bytes] = await decodeWith("jpeg", stream);
  if (bytes.length !== length) throw new Rejection("its picture is damaged", "Save it again.");
  return bytes;
}

// The samples of a JPEG-LS or JPEG 2000 stream and their facts.
export async function decodeDeep(name, stream) {
  const [bytes, facts] = await decodeWith(name, stream);
  const Words = facts.isSigned ? Int16Array : Uint16Array;
  const samples =
    facts.bitsPerSample > 8
      ? new Words(bytes.buffer)
      : facts.isSigned
        ? new Int8Array(bytes.buffer)
        : bytes;
  if (samples.length !== facts.width * facts.height * facts.componentCount) {
    throw new Rejection("its picture is damaged", "Export it again.");
  }
  return [samples, facts];
}
