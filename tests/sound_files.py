"Small sound files of every format that is read, to be broken by the tests."

import io
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from pydicom import Dataset, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from hemidiaphragm_nb.phantom import phantom

SIDE = 64  # px, of the phantoms that the files show
RARE_TIFF = ("zstd", "lzma", "png", "jpeg2000")  # compressions that need imagecodecs
UNCOMPRESSED_AND_LOSSLESS = (
    "ImplicitVRLittleEndian",
    "ExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "DeflatedExplicitVRLittleEndian",
    "RLELossless",
    "JPEGLSLossless",
    "JPEGLosslessSV1",
    "JPEG2000Lossless",
    "HTJ2KLossless",
)
OTHER_MAKERS = (
    "693_J2KI.dcm",
    "image_dfl.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "RG1_J2KI.dcm",  # 3.6 million pixels: the last, and the slowest
)


def picture(array: np.ndarray, kind: str, mode: str = "", **options) -> bytes:
    "A PNG or JPEG file."
    image, file = Image.fromarray(array), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    "A TIFF file."
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"metadata": None} | options)
    return file.getvalue()


def rare_tiffs(grey16: np.ndarray) -> dict[str, bytes]:
    "TIFF files that the small installation does not read, by name."
    bilevel = io.BytesIO()
    Image.fromarray((grey16 >> 8).astype(np.uint8)).convert("1").save(
        bilevel, "TIFF", compression="group4"
    )
    made = {f"tiff-{kind}": tiff(grey16, compression=kind) for kind in RARE_TIFF}
    return made | {
        "tiff-group4": bilevel.getvalue(),
        "tiff-12": tiff(grey16 >> 4, bitspersample=12),
        "tiff-float-predictor": tiff(grey16.astype(np.float32), compression="zlib", predictor=3),
    }


def pictures(grey8: np.ndarray, grey16: np.ndarray) -> dict[str, bytes]:
    "PNG, JPEG and TIFF files by name."
    return {
        "png8": picture(grey8, "png"),
        "png16": picture(grey16, "png"),
        "png-palette": picture(grey8, "png", "P"),
        "png-rgba": picture(grey8, "png", "RGBA"),
        "jpeg": picture(grey8, "jpeg"),
        "jpeg-rgb": picture(grey8, "jpeg", "RGB"),
        "jpeg-progressive": picture(grey8, "jpeg", progressive=True),
        "tiff8": tiff(grey8),
        "tiff16": tiff(grey16),
        "tiff16-big-endian": tiff(grey16, byteorder=">"),
        "bigtiff16": tiff(grey16, bigtiff=True),
        "bigtiff16-zlib": tiff(grey16, bigtiff=True, compression="zlib", predictor=True),
        "tiff16-lzw": tiff(grey16, compression="lzw", rowsperstrip=8),
        "tiff16-zlib": tiff(grey16, compression="zlib"),
        "tiff8-tiles": tiff(grey8, tile=(32, 32), compression="zlib"),
        "tiff8-jpeg": tiff(grey8, compression="jpeg"),
        "tiff-float": tiff(grey16.astype(np.float32)),
        "tiff8-white": tiff(grey8, photometric="miniswhite"),
        "tiff8-packbits": tiff(grey8, compression="packbits"),
        "tiff-rgb": tiff(np.dstack([grey8] * 3)),
    }


def encode(array: np.ndarray, keyword: str) -> bytes:
    "The pixels as the JPEG codecs write them that pydicom has no encoder for; b'' for the others."
    bits = array.itemsize * 8
    match keyword:
        case "JPEGBaseline8Bit":
            return imagecodecs.jpeg8_encode(array, level=95)
        case "JPEGLosslessSV1":
            return imagecodecs.jpeg8_encode(array, lossless=True, bitspersample=bits, predictor=1)
        case "JPEGExtended12Bit":
            return imagecodecs.jpeg8_encode(array >> 4, level=98, bitspersample=12)
        case "HTJ2KLossless":
            return imagecodecs.htj2k_encode(array)
    return b""


def dicom(array: np.ndarray, keyword: str, **elements) -> bytes:
    "A DICOM file in the transfer syntax named by its keyword, with other `elements` set."
    syntax, bits, ds, file = getattr(uid, keyword), array.itemsize * 8, Dataset(), io.BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns = array.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelSpacing, ds.ViewPosition = [0.2, 0.2], "AP"
    ds.WindowCenter, ds.WindowWidth = 2 ** (bits - 1), 2**bits
    for name, value in elements.items():
        setattr(ds, name, value)
    ds.file_meta.TransferSyntaxUID = syntax
    if encoded := encode(array, keyword):
        ds.PixelData = encapsulate([encoded])
        ds["PixelData"].VR = "OB"
    else:
        if syntax.is_compressed:
            ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        order = "<" if syntax.is_little_endian else ">"
        ds.PixelData = array.astype(array.dtype.newbyteorder(order)).tobytes()
        ds["PixelData"].VR = "OW"
        if syntax.is_encapsulated:
            ds.compress(syntax, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def palette() -> dict:
    "The elements of a palette of 256 colours."
    curve = (np.arange(256) ** 2 // 255).astype(np.uint16).tobytes()
    parts = {"Descriptor": [256, 0, 16], "Data": curve}
    colours = ("Red", "Green", "Blue")
    return {f"{c}PaletteColorLookupTable{k}": v for c in colours for k, v in parts.items()}


@cache
def corpus() -> dict[str, bytes]:
    "Sound files by name: phantoms in every format, and files of other makers that pydicom brings."
    grey8 = np.ascontiguousarray(phantom(3, side=SIDE).image)
    grey16 = grey8.astype(np.uint16) * 257 + np.arange(SIDE, dtype=np.uint16)
    plain = "ExplicitVRLittleEndian"
    dark = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    coloured = {"PhotometricInterpretation": "PALETTE COLOR", **palette()}
    made = pictures(grey8, grey16)
    made |= {f"dicom-{keyword}": dicom(grey16, keyword) for keyword in UNCOMPRESSED_AND_LOSSLESS}
    made |= {
        "dicom-JPEGBaseline8Bit": dicom(grey8, "JPEGBaseline8Bit"),
        "dicom-RLE-8": dicom(grey8, "RLELossless"),
        "dicom-JPEGExtended12Bit": dicom(grey16, "JPEGExtended12Bit", BitsStored=12, HighBit=11),
        "dicom-MONOCHROME1": dicom(grey16, plain, **dark),
        "dicom-palette": dicom(grey8, plain, **coloured),
    }
    paths = {name: get_testdata_file(name, download=False) for name in OTHER_MAKERS}
    return made | {name: Path(path).read_bytes() for name, path in paths.items() if path}
