"""Headers that other people's devices wrote: the right grey values, sides and lengths, a warning
for what is left out, or the one error.
"""

import re
import struct
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from hemidiaphragm_nb.dicom_header import _CODES, _LIMB_CODES
from hemidiaphragm_nb.dicom_reader import _check_rle, encode_dicom
from hemidiaphragm_nb.formats import Rejection
from hemidiaphragm_nb.radiograph import RadiographError
from hemidiaphragm_nb.readers import read_radiograph
from tests.sound_files import dicom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

SIDE = 64  # px
STORED = np.add.outer(np.arange(SIDE) * 40, np.arange(SIDE) * 24).astype(np.uint16)  # of 12 bits
STORED[:9, :20] = 4095  # so that no turn of the picture is the picture


@pytest.fixture
def read(tmp_path):
    "Reads a file of `STORED` (or an array) with elements in its header."

    def reader(array=STORED, bits=12, **elements):
        data = encode_dicom(array, bits=bits, **elements)
        (tmp_path / "a.dcm").write_bytes(data)
        return read_radiograph(tmp_path / "a.dcm")

    return reader


def item(entries, bits, first=0, stated=None, vr="US", packed=False) -> pydicom.Dataset:
    "A look-up table; `stated` entries instead of its own number, packed one a byte."
    ds = pydicom.Dataset()
    ds.add_new("LUTDescriptor", "SS" if first < 0 else "US", [stated or len(entries), first, bits])
    entries = np.asarray(entries)
    data = entries.astype("u1" if packed else "<u2").tobytes() if vr == "OW" else entries.tolist()
    ds.add_new("LUTData", vr, data)
    return ds


def same_up_to_scale(radiograph, expected) -> bool:
    "Whether the grey values are a positive linear map of what is expected."
    pixels, expected = radiograph.pixels.ravel().astype(float), np.ravel(expected).astype(float)
    slope, intercept = np.polyfit(pixels, expected, 1)
    apart = np.abs(slope * pixels + intercept - expected).max()
    return slope > 0 and apart < 2e-3 * np.ptp(expected)


def linear(values, centre, width):
    "A linear window by the standard's formula (PS3.3 C.11.2.1.2.1)."
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def sigmoid(values, centre, width):
    return 1 / (1 + np.exp(-4 * (values - centre) / width))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("slope, intercept", [(-1, 4095), (-10, 3000), (2.5, -1000), (1, 0)])
@pytest.mark.parametrize("function", ["", "LINEAR", "LINEAR_EXACT", "SIGMOID", "sigmoid ", None])
def test_window_after_a_slope_of_either_sign(function, slope, intercept, invert, read):
    meant = STORED * float(slope) + intercept
    centre, width = float(np.median(meant)), float(np.ptp(meant)) / 2
    elements = dict(RescaleSlope=slope, RescaleIntercept=intercept, VOILUTFunction=function)
    elements |= dict(PhotometricInterpretation=f"MONOCHROME{1 if invert else 2}")
    radiograph = read(WindowCenter=centre, WindowWidth=width, **elements)
    shown = sigmoid if "SIGMOID" in (function or "").upper() else linear
    if function == "LINEAR_EXACT":
        centre, width = centre + 0.5, width + 1
    expected = shown(meant, centre, width)
    assert same_up_to_scale(radiograph, -expected if invert else expected)
    assert radiograph.warnings == ()


def test_unknown_window_function_counts_as_linear(read):
    radiograph = read(WindowCenter=2000, WindowWidth=3000, VOILUTFunction="GAMMA")
    assert same_up_to_scale(radiograph, linear(STORED, 2000, 3000))
    assert "function is unknown" in radiograph.warnings[0]


RESCALES = [("", ""), ("1.0", ""), ("", "0"), ("1,0", "0"), ("1", "none"), (None, "5"), ("2", None)]


@pytest.mark.parametrize("slope, intercept", RESCALES)
def test_rescale_that_is_empty_or_no_number(slope, intercept, read, tmp_path):
    with pydicom.config.disable_value_validation():
        data = encode_dicom(STORED, bits=12, RescaleSlope="7.5", RescaleIntercept="8.5")
    old = [(b"S\x10", b"7.5 ", slope), (b"R\x10", b"8.5 ", intercept)]
    for tag, text, value in old:
        empty = b"(\0" + tag + b"DS" + b"\x04\0" + text
        assert empty in data
        new = (value or "").encode()
        new += b" " * (len(new) % 2)
        element = b"(\0" + tag + b"DS" + bytes([len(new), 0]) + new
        data = data.replace(empty, b"" if value is None else element)
    (tmp_path / "a.dcm").write_bytes(data)
    radiograph = read_radiograph(tmp_path / "a.dcm")
    assert same_up_to_scale(radiograph, STORED)
    garbled = slope == "1,0" or intercept == "none"
    assert len(radiograph.warnings) == garbled


CURVE = (np.arange(4096) / 4095.0) ** 2


@pytest.mark.parametrize("stage", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("bits", range(8, 17))
def test_table_of_any_depth(bits, vr, stage, read):
    entries = np.round(CURVE * (2**bits - 1)).astype(int)
    radiograph = read(**{stage: [item(entries, bits, vr=vr)]})
    assert same_up_to_scale(radiograph, entries[STORED])
    assert radiograph.warnings == ()


@pytest.mark.parametrize("stage", ["ModalityLUTSequence", "VOILUTSequence"])
def test_table_of_bytes_two_a_word(stage, read):
    entries = np.round(CURVE * 255).astype(int)
    radiograph = read(**{stage: [item(entries, 8, vr="OW", packed=True)]})
    assert same_up_to_scale(radiograph, entries[STORED])


@pytest.mark.parametrize("first", [-2048, 63488])
def test_table_whose_first_value_is_signed(first, read):
    entries = np.round(CURVE * 65535).astype(int)
    signed = (STORED.astype(int) - 2048).astype(np.int16)
    radiograph = read(signed, VOILUTSequence=[item(entries, 16, first)])
    assert same_up_to_scale(radiograph, entries[STORED])


@pytest.mark.parametrize("stage", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("kind", ["short", "empty", "constant"])
def test_unusable_table_is_left_out_with_a_warning(kind, stage, read):
    table = {
        "short": item(np.arange(2000), 16, stated=4096),
        "empty": pydicom.Dataset(),
        "constant": item([7] * 4096, 16),
    }[kind]
    radiograph = read(**{stage: [table]})
    assert same_up_to_scale(radiograph, STORED)
    assert ["look-up table is unusable" in warning for warning in radiograph.warnings] == [True]


@pytest.mark.parametrize("stage", ["ModalityLUTSequence", "VOILUTSequence"])
def test_table_without_data_is_left_out_with_a_warning(stage, read):
    table = item(np.arange(4096), 16)
    table["LUTData"].value = None
    radiograph = read(**{stage: [table]})
    assert same_up_to_scale(radiograph, STORED)
    assert ["look-up table is unusable" in warning for warning in radiograph.warnings] == [True]


@pytest.mark.parametrize("stage", ["ModalityLUTSequence", "VOILUTSequence"])
def test_second_table_serves_where_the_first_does_not(stage, read):
    entries = np.round(CURVE * 65535).astype(int)
    tables = [item(np.arange(2000), 16, stated=4096), item(entries, 16)]
    radiograph = read(**{stage: tables})
    assert same_up_to_scale(radiograph, entries[STORED])
    assert len(radiograph.warnings) == 1 and "its first" in radiograph.warnings[0]


def test_second_window_serves_where_the_first_does_not(read):
    radiograph = read(WindowCenter=[9e6, 2000], WindowWidth=[4, 3000])
    assert same_up_to_scale(radiograph, linear(STORED, 2000, 3000))
    assert len(radiograph.warnings) == 1 and "its first window" in radiograph.warnings[0]


@pytest.mark.parametrize("slope", ["0", "0.0", "1e-300", "1e300", "-0"])
def test_slope_that_leaves_no_picture_is_left_out_with_a_warning(slope, read):
    radiograph = read(RescaleSlope=slope, RescaleIntercept="5")
    assert np.array_equal(radiograph.pixels, STORED)
    assert "rescale slope or intercept leaves no picture" in radiograph.warnings[0]


@pytest.mark.parametrize("intercept", ["1e30", "1e20", "-1e300"])
def test_intercept_that_leaves_no_picture_is_left_out_with_a_warning(intercept, read):
    radiograph = read(RescaleIntercept=intercept, RescaleSlope="1")
    assert np.array_equal(radiograph.pixels, STORED)
    assert len(radiograph.warnings) == 1


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("offset", [2**31, 2**32 - 5000, 0])
def test_grey_levels_far_from_zero_stay_apart(offset, invert, read):
    "float32 has 24 bits."
    stored = STORED.astype(np.uint32) + np.uint32(offset)
    elements = dict(PhotometricInterpretation=f"MONOCHROME{1 if invert else 2}")
    pixels = read(stored, 32, **elements).pixels
    expected = (STORED.max() - STORED.astype(float)) if invert else STORED
    assert np.array_equal(pixels - pixels.min(), expected - expected.min())
    far = read(RescaleSlope="1", RescaleIntercept="4000000001").pixels
    assert np.array_equal(far - far.min(), STORED - STORED.min())


def test_high_bit_that_cannot_be_is_noted(read):
    radiograph = read(HighBit=8)
    assert np.array_equal(radiograph.pixels, STORED)
    assert "12 bits of 16 end at bit 8" in radiograph.warnings[0]


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beyond_those_stated_are_noted(signed, read):
    [warning] = read(STORED, 8, PixelRepresentation=int(signed)).warnings
    assert "more than the 8 bits" in warning
    values = STORED.astype(np.int16) - 2048 if signed else STORED
    assert read(values).warnings == () == read(STORED, PixelRepresentation=int(signed)).warnings


@pytest.mark.parametrize("photometric", [1, 2])
def test_grey_of_three_samples_is_inverted_with_a_warning(photometric, read):
    grey8 = (STORED >> 4).astype(np.uint8)
    header = dict(PhotometricInterpretation=f"MONOCHROME{photometric}")
    radiograph = read(np.stack([grey8] * 3, -1), 8, **header)
    assert same_up_to_scale(radiograph, -grey8.astype(float) if photometric == 1 else grey8)
    assert "which contradict" in radiograph.warnings[0]


def test_window_serves_where_the_table_does_not(read):
    table = item(np.arange(2000), 16, stated=4096)
    radiograph = read(VOILUTSequence=[table], WindowCenter=2000, WindowWidth=3000)
    assert same_up_to_scale(radiograph, linear(STORED, 2000, 3000))
    assert len(radiograph.warnings) == 1


def coloured(data: bytes, bits: int, before: str) -> dict:
    "The elements of a palette whose three tables are the same."
    made = dict(PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        made[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        made[f"{before}{colour}PaletteColorLookupTableData"] = data
    return made


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_in_segments(bits, read):
    whole = {8: "u1", 16: "<u2"}[bits]
    data = np.array([0, 1, 0, 1, 255, 2**bits - 1], whole).tobytes()
    grey8 = (STORED >> 4).astype(np.uint8)
    assert same_up_to_scale(read(grey8, 8, **coloured(data, bits, "Segmented")), grey8)


@pytest.mark.parametrize(
    "data", [b"", b"\1\0\2\0", b"\2\0\1\0\0\0\0\0", b"\7\0\1\0\0\0", b"\0\0\0"]
)
def test_damaged_palette_is_rejected(data, read):
    for before in ("", "Segmented"):
        with pytest.raises(RadiographError, match="palette"):
            read((STORED >> 4).astype(np.uint8), 8, **coloured(data, 16, before))


@pytest.mark.parametrize("text", ["MONOCHROME1", " MONOCHROME1", "monochrome1 ", "Monochrome1"])
def test_text_is_spelt_one_way(text, read):
    radiograph = read(
        PhotometricInterpretation=text,
        ViewPosition=" pa ",
        PresentationIntentType="for processing",
        BodyPartExamined=" chest",
    )
    assert same_up_to_scale(radiograph, -STORED.astype(float))
    assert (radiograph.view, len(radiograph.warnings)) == ("PA", 1)


def test_escapes_of_a_header_reach_nobody(read):
    with pytest.raises(RadiographError) as caught:
        read(PhotometricInterpretation="\x1b]0;PWNED\x07\x1b[31mMONO\x1b[2J")
    assert str(caught.value).isprintable()
    assert read(ViewPosition="AP\x1b[2J", BodyPartExamined="\x1b[2J").view == "AP"


NOT_FRONTAL = """LL RL LATERAL L_LAT OBLIQUE DECUBITUS LAO lateral AP-LLD PA-RLD L-LAT
LEFT-LATERAL PA-OBLIQUE LAT-DECUB LLDECUB RLDECUB LTLAT RTLAT CROSSTABLE CROSS-TABLE SEITLICH
SCHRAEG schräg ML LM LATEROMEDIAL DÉCUBITUS""".split()
NOT_FRONTAL += ["HORIZONTAL BEAM", "CROSS TABLE", "AP X-TABLE", "PA SEITLICH"]
NOT_FRONTAL += ["PROFILO", "PERFIL", "SAGITTAL", "PA OBLICUA", "SEITL.", "PROF", "L-L", "R L"]
NOT_FRONTAL += ["LD", "LFD"]


@pytest.mark.parametrize("view", NOT_FRONTAL)
def test_declared_view_that_is_not_frontal_is_rejected(view, read):
    with pytest.raises(RadiographError, match="not frontal"):
        read(ViewPosition=view)


@pytest.mark.parametrize(
    "directions", [["A", "F"], ["P", "F"], ["a ", "F"], ["AR", "F"], ["L", "P"]]
)
def test_orientation_of_a_lateral_is_rejected(directions, read):
    with pytest.raises(RadiographError, match="LATERAL"):
        read(PatientOrientation=directions)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("meaning, value", [("left lateral", "1"), ("seitlich", "399067008")])
def test_coded_view_that_is_not_frontal_is_rejected(meaning, value, nested, read):
    code = pydicom.Dataset()
    code.CodeValue, code.CodeMeaning, code.CodingSchemeDesignator = value, meaning, "SCT"
    if nested:
        outer = pydicom.Dataset()
        outer.CodeValue, outer.CodeMeaning = "399348003", "antero-posterior"
        outer.ViewModifierCodeSequence, code = [code], outer
    with pytest.raises(RadiographError, match="LATERAL"):
        read(ViewCodeSequence=[code])


@pytest.mark.parametrize("place", ["CodeValue", "LongCodeValue", "URNCodeValue"])
def test_code_of_a_lateral_is_rejected_wherever_it_stands(place, read):
    value = "urn:oid:2.16.840.1.113883.6.96:399067008" if "URN" in place else "399067008"
    with pytest.raises(RadiographError, match="its view is of code 399067008"):
        read(ViewCodeSequence=[coded(**{place: value})])


@pytest.mark.parametrize("view", ["L", "R", "LT", "rt", "LEFT", "right "])
def test_a_side_for_a_view_is_noted(view, read):
    [warning] = read(ViewPosition=view).warnings
    assert f"its view is {view.strip().upper()}, which may be a lateral" in warning


FRONTAL = "PORTABLE AP-PORTABLE SEMI-ERECT FLAT BILATERAL POSTERO-ANTERIOR LORDOTIC AP/PA".split()


@pytest.mark.parametrize("view", [*FRONTAL, "AP SUPINE", "PA BEIDSEITIG", "SUPINE TABLE", "a.p."])
def test_no_frontal_view_is_rejected(view, read):
    assert read(ViewPosition=view).warnings == ()


@pytest.mark.parametrize("view", ["AP", "PA", "", None, "AP AXIAL", "PA ERECT"])
def test_frontal_view_is_read(view, read):
    radiograph = read(ViewPosition=view, PatientOrientation=["L", "F"])
    assert (radiograph.view, radiograph.warnings) == (view or "", ())
    assert np.array_equal(radiograph.pixels, STORED)


MIRRORS = [["R", "F"], ["RP", "F"], ["RA", "F"], ["RF", "F"], ["R ", "F"], ["r", "FP"], ["R"]]


@pytest.mark.parametrize("directions", MIRRORS)
def test_declared_mirror_image_is_turned_back(directions, read):
    radiograph = read(PatientOrientation=directions)
    assert np.array_equal(radiograph.pixels, STORED[:, ::-1])
    assert radiograph.orientation == 2
    assert ["mirrored" in warning for warning in radiograph.warnings] == [True]


UNSETTLED = [["", "H"], ["H", ""], ["F", ""], ["", "F"], ["L", "L"], ["X", "FOOT"], ["L/R", "F"]]
UNSETTLED += [
    ["X", "Y"],
    ["R", "F", "X"],
    ["", "R"],
    ["", "L"],
    ["LR", "F"],
    ["H", "F"],
    ["HF", "L"],
]
UNSETTLED += [["L", "R"], ["H"], ["DOE"]]


@pytest.mark.parametrize("directions", UNSETTLED)
def test_orientation_that_does_not_settle_the_sides_is_noted(directions, read):
    radiograph = read(PatientOrientation=directions)
    assert np.array_equal(radiograph.pixels, STORED) and radiograph.orientation == 1
    [warning] = radiograph.warnings
    assert "does not settle the sides" in warning and "DOE" not in warning


@pytest.mark.parametrize("directions", [["L", "F"], ["L"], ["L", ""], ["LP", "FA"], None, ["", ""]])
def test_orientation_of_an_upright_picture_passes(directions, read):
    assert read(PatientOrientation=directions).warnings == ()


def test_turned_picture_is_turned_back_with_its_spacing(read):
    "Rows that run towards the feet, columns to the right: a quarter turn."
    radiograph = read(PatientOrientation=["F", "R"], PixelSpacing=[0.1, 0.2])
    assert np.array_equal(radiograph.pixels, np.rot90(STORED, -1))
    assert (radiograph.spacing, radiograph.orientation) == ((0.2, 0.1), 6)


PARTS = ["CHESTABDOMEN", "NECKCHEST", "TORAX", "CHEST PA", "CHEST 2 VIEWS", "LUNGS", "CHEST_PA"]


@pytest.mark.parametrize("part", [*PARTS, "NECKCHESTABDPELV", "thorax", "LUNG", "PORT CHEST", ""])
def test_parts_that_hold_the_chest_pass(part, read):
    assert read(BodyPartExamined=part).warnings == ()


UNSTATED = ["UNKNOWN", "NOT SPECIFIED", "n/a", "NONE", "OTHER", "-", "*", "0"]
IN_OTHER_WORDS = ["BRUSTKORB", "BORSTKAS", "KLATKA PIERSIOWA", "POITRINE", "PECHO"]


@pytest.mark.parametrize("part", UNSTATED + IN_OTHER_WORDS)
def test_nothing_is_said_of_a_part_that_is_not_stated(part, read):
    assert read(BodyPartExamined=part).warnings == ()


def test_other_parts_are_stated_or_rejected(read):
    assert "shows SKULL" in read(BodyPartExamined="SKULL").warnings[0]
    assert "shows SPINE" in read(BodyPartExamined="THORACIC SPINE").warnings[0]
    unknown = read(BodyPartExamined="DOE JANE").warnings[0]
    assert (
        unknown == "its header says that it shows a part that is not known, which may be no chest"
    )
    for header in (dict(BodyPartExamined="LEFT HAND"), dict(Modality="CT"), dict(Modality="us ")):
        with pytest.raises(RadiographError, match="its header says"):
            read(**header)


LIMBS = """HANDS FEET KNEES FINGERS TOES THIGH HEEL UPPERARM LOWERLEG TIBFIB RADIUSULNA METACARPUS
CARPUS UP_EXM LOW_EXM LOWER-LIMB RT_HAND hands LFOOT WRISTS FEMURS LEGS""".split()


@pytest.mark.parametrize("part", [*LIMBS, "UPPER LIMB", "LOWER LIMB", "HAND AND WRIST"])
def test_limbs_are_rejected_however_they_are_written(part, read):
    with pytest.raises(RadiographError, match="not a chest"):
        read(BodyPartExamined=part)


def coded(**elements) -> pydicom.Dataset:
    "The item of a sequence of codes."
    ds = pydicom.Dataset()
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


@pytest.mark.parametrize(
    "code",
    [
        dict(CodeValue="85562004", CodeMeaning="Hand"),
        dict(CodeValue="T-D9700", CodeMeaning="pes"),
        dict(LongCodeValue="72696002"),
        dict(CodeValue="1", CodeMeaning="Lower leg"),
    ],
)
def test_coded_limb_is_rejected(code, read):
    with pytest.raises(RadiographError, match="not a chest"):
        read(AnatomicRegionSequence=[coded(**code)])
    with pytest.raises(RadiographError, match="not a chest"):
        read(BodyPartExamined="CHEST", AnatomicRegionSequence=[coded(**code)])


@pytest.mark.parametrize("meaning", ["Chest", "Thorax", "Brustkorb", "Lung"])
def test_coded_chest_passes(meaning, read):
    code = coded(CodeValue="51185008", CodeMeaning=meaning)
    assert read(AnatomicRegionSequence=[code], BodyPartExamined="CHEST").warnings == ()
    skull = coded(CodeValue="89546000", CodeMeaning="Skull")
    assert "shows SKULL" in read(AnatomicRegionSequence=[skull]).warnings[0]


OTHERS = """CTImageStorage MRImageStorage UltrasoundImageStorage EnhancedCTImageStorage
EnhancedMRImageStorage NuclearMedicineImageStorage PositronEmissionTomographyImageStorage
DigitalMammographyXRayImageStorageForPresentation DigitalIntraOralXRayImageStorageForProcessing
SegmentationStorage RTImageStorage VLPhotographicImageStorage BreastTomosynthesisImageStorage
OphthalmicTomographyImageStorage UltrasoundMultiFrameImageStorage BasicTextSRStorage""".split()
CLASSES = """ComputedRadiographyImageStorage DigitalXRayImageStorageForPresentation
DigitalXRayImageStorageForProcessing SecondaryCaptureImageStorage XRayAngiographicImageStorage
MultiFrameGrayscaleWordSecondaryCaptureImageStorage""".split()


@pytest.mark.parametrize("modality", ["", "OT", "DX"])
@pytest.mark.parametrize("name", OTHERS)
def test_class_of_another_picture_is_rejected(name, modality, read):
    with pytest.raises(RadiographError, match="not a radiograph"):
        read(SOPClassUID=getattr(uid, name), Modality=modality)


@pytest.mark.parametrize("name", [*CLASSES, "1.2.3.4", None])
def test_class_of_a_radiograph_passes(name, read):
    assert read(SOPClassUID=getattr(uid, name or "", name), Modality="DX").warnings == ()


@pytest.mark.parametrize("modality", [["CT", "DX"], ["DX", "CT"], "SEG", "SR", "OCT", "RTSTRUCT"])
def test_modality_of_another_picture_is_rejected(modality, read):
    with pytest.raises(RadiographError, match="not a radiograph"):
        read(Modality=modality)


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "OT", "", ["CR", "DX"]])
def test_modality_of_a_radiograph_passes(modality, read):
    assert read(Modality=modality).warnings == ()


def test_unknown_modality_is_noted(read):
    assert read(Modality="CHEST").warnings == ("its header states a modality that is not known",)


@pytest.mark.parametrize(
    "header",
    [
        dict(SOPClassUID=uid.CTImageStorage, Modality="OT"),
        dict(AnatomicRegionSequence=[coded(CodeValue="85562004")]),
        dict(Modality="CT"),
        dict(Modality="MR"),
        dict(BodyPartExamined="HAND"),
        dict(ViewPosition="LL"),
        dict(PatientOrientation=["A", "F"]),
    ],
)
def test_what_is_no_chest_radiograph_by_its_header_is_read_by_force(header, tmp_path):
    (tmp_path / "a.dcm").write_bytes(encode_dicom(STORED, bits=12, **header))
    with pytest.raises(RadiographError, match="its header says"):
        read_radiograph(tmp_path / "a.dcm")
    radiograph = read_radiograph(tmp_path / "a.dcm", force=True)
    assert np.array_equal(radiograph.pixels, STORED)
    assert len(radiograph.warnings) == 1 and "it was read by force" in radiograph.warnings[0]


@pytest.mark.parametrize("header", [{}, dict(PixelSpacing=[20, 20]), dict(PixelSpacing=[0.2] * 2)])
@pytest.mark.parametrize("orientation", [["L", "F"], ["F", "R"]])
def test_spacing_stated_by_hand_overrides_the_header(orientation, header, tmp_path):
    data = encode_dicom(STORED, bits=12, PatientOrientation=orientation, **header)
    (tmp_path / "a.dcm").write_bytes(data)
    radiograph = read_radiograph(tmp_path / "a.dcm", spacing=(0.15, 0.151))
    assert radiograph.spacing == (0.15, 0.151) and radiograph.spacing_source == "stated by hand"
    assert "implausible" not in str(radiograph.warnings)
    radiograph = read_radiograph(tmp_path / "a.dcm", spacing=(150, 150))
    assert radiograph.spacing is None and "stated by hand" in radiograph.warnings[0]


@pytest.mark.parametrize(
    "age, stated", [("006Y", "6 years"), ("005M", "5 months"), ("018M", "18 months")]
)
def test_age_of_a_child_is_stated(age, stated, read):
    assert f"is {stated} old" in read(PatientAge=age).warnings[0]
    assert read(PatientAge="044Y").warnings == ()


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
@pytest.mark.parametrize("spacing", [20, 1000, 1e30])
def test_spacing_of_metres_is_not_believed(spacing, keyword, read):
    radiograph = read(**{keyword: [spacing] * 2})
    assert (radiograph.spacing, radiograph.spacing_source) == (None, "")
    assert "implausible" in radiograph.warnings[0]


@pytest.mark.parametrize("kind", ["GEOMETRY", "FIDUCIAL", "DOE JANE", None])
def test_calibration_is_named_with_the_spacing(kind, read):
    radiograph = read(PixelSpacing=[0.2, 0.2], PixelSpacingCalibrationType=kind)
    known = f" / {kind}" if kind in ("GEOMETRY", "FIDUCIAL") else ""
    assert radiograph.spacing_source == f"PixelSpacing{known}"


def test_magnification_and_calibration(read):
    imager = dict(ImagerPixelSpacing=[0.22, 0.22], EstimatedRadiographicMagnificationFactor="1.1")
    copied, corrected = dict(PixelSpacing=[0.22, 0.22]), dict(PixelSpacing=[0.19, 0.19])
    claimed = dict(PixelSpacingCalibrationType="GEOMETRY")
    for header, expected in [
        (imager, 0.2),
        (imager | copied, 0.2),
        (imager | copied | claimed, 0.22),
        (imager | corrected, 0.19),
        (imager | dict(EstimatedRadiographicMagnificationFactor="0"), 0.22),
    ]:
        assert read(**header).spacing == pytest.approx((expected, expected))
    assert read(**imager, **corrected).spacing_source == "PixelSpacing / calibrated"
    assert read(**corrected).spacing_source == "PixelSpacing"


@pytest.mark.parametrize("age, years", [("5 Y", 5), ("005 Y", 5), ("7 years", 7), ("001 M ", 1)])
def test_age_of_a_child_is_stated_in_other_spellings(age, years, read):
    [warning] = read(PatientAge=age).warnings
    assert f"is {years} year" in warning or f"is {years} month" in warning
    assert read(PatientAge="44 Y").warnings == ()


IMAGER = dict(ImagerPixelSpacing=[0.2, 0.2])
FACTOR = "EstimatedRadiographicMagnificationFactor"


@pytest.mark.parametrize("factor, noted", [(0.5, True), (2.5, True), (0, True), (1, False)])
def test_magnification_that_cannot_be_is_noted(factor, noted, read):
    radiograph = read(**IMAGER, **{FACTOR: factor})
    assert radiograph.spacing == (0.2, 0.2)
    assert ["MagnificationFactor is no number" in w for w in radiograph.warnings] == [True] * noted


@pytest.mark.parametrize("spacing", [[0, 0], [-0.1, 0.1], [0.1]])
@pytest.mark.parametrize(
    "keyword", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"]
)
def test_spacing_that_is_none_is_noted(keyword, spacing, read):
    radiograph = read(**{keyword: spacing})
    assert radiograph.spacing is None
    assert radiograph.warnings == (f"its {keyword} is no pair of positive numbers and was ignored",)
    assert read(**{keyword: None}).warnings == ()


@pytest.mark.parametrize("header", [IMAGER, IMAGER | dict(PixelSpacing=[0.2, 0.2])])
def test_aspect_ratio_that_contradicts_the_spacing_is_noted(header, read):
    [warning] = read(**header, PixelAspectRatio=["2", "1"]).warnings
    assert "PixelAspectRatio contradicts its ImagerPixelSpacing" in warning
    assert read(**header, PixelAspectRatio=["1", "1"]).warnings == ()
    narrow = read(PixelSpacing=[0.2, 0.1], PixelAspectRatio=["2", "1"]).warnings
    assert len(narrow) == 1 and "not square" in narrow[0]


def test_pixels_that_are_not_square_are_stated(read):
    for header in (dict(PixelSpacing=[0.1, 0.2]), dict(PixelAspectRatio=["1", "2"])):
        assert "not square" in read(**header).warnings[0]


@pytest.mark.parametrize("high", [11, 12, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_high_bit_says_where_a_value_ends(signed, high, read):
    stored = STORED.astype(np.int16) - 2048 if signed else STORED
    moved = (stored << (high - 11)).astype(stored.dtype)
    assert np.array_equal(read(moved, HighBit=high).pixels, stored)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_a_value_are_no_part_of_it(signed, read):
    "Old devices keep overlays there."
    busy = STORED | np.where(np.indices(STORED.shape).sum(0) % 3, 0xF000, 0).astype(np.uint16)
    pixels = read(busy, PixelRepresentation=int(signed)).pixels
    expected = np.where(STORED > 2047, STORED - 4096.0, STORED) if signed else STORED
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("photometric", [1, 2])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE", "inverse ", "", None])
def test_presentation_shape_is_followed_once(shape, photometric, read):
    header = dict(PresentationLUTShape=shape, PhotometricInterpretation=f"MONOCHROME{photometric}")
    radiograph, stated = read(**header), (shape or "").strip().upper()
    dark = stated == "INVERSE" if stated else photometric == 1
    assert same_up_to_scale(radiograph, -STORED.astype(float) if dark else STORED)
    assert len(radiograph.warnings) == (dark != (photometric == 1))


def test_unknown_presentation_shape_is_noted(read):
    radiograph = read(PresentationLUTShape="LIN OD")
    assert same_up_to_scale(radiograph, STORED)
    assert "PresentationLUTShape is unknown" in radiograph.warnings[0]


@pytest.mark.parametrize("half", [dict(WindowCenter=2000), dict(WindowWidth=4000)])
def test_half_a_window_is_noted(half, read):
    radiograph = read(**half)
    assert same_up_to_scale(radiograph, STORED)
    assert "window has no pair of numbers" in radiograph.warnings[0]


@pytest.mark.parametrize("vr, padding", [("US", 63488), ("SS", -2048)])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_in_either_sign(signed, vr, padding, tmp_path):
    stored = (STORED.astype(int) + 100).astype(np.int16 if signed else np.uint16)
    stored[:, :20] = -2048 if signed else 63488
    ds = pydicom.dcmread(BytesIO(encode_dicom(stored)))
    ds.add_new("PixelPaddingValue", vr, padding)
    ds.save_as(tmp_path / "a.dcm")
    pixels = read_radiograph(tmp_path / "a.dcm").pixels
    assert pixels[:, :20].max() == stored[:, 20:].min()
    assert np.array_equal(pixels[:, 20:], stored[:, 20:])


@pytest.mark.parametrize(
    "vr, padding, word, signed",
    [
        ("US", 65535, 0xFFFF, False),  # beyond the stored bits: in the whole words
        ("SS", -1, 0xFFFF, False),
        ("SS", -32768, 0x8000, True),  # whose stored bits are those of 0
        ("US", 0x8000, 0x8000, True),
        ("SS", -1, 0x0FFF, False),  # in the stored bits, which is how the standard means it
        ("SS", -2048, 0x0800, True),
        ("SS", -2048, 0xF800, True),
        ("US", 4095, 0x0FFF, False),
    ],
)
def test_padding_beyond_the_stored_bits(vr, padding, word, signed, tmp_path):
    "PS3.3 C.7.5.1.1.2; what merely has the same stored bits was measured."
    stored = STORED % 2000 + 1
    words = stored.copy()
    words[:, :20] = word
    if word in (0xFFFF, 0x8000):
        words[-1] = stored[-1] = word & 0xFFF
    ds = pydicom.dcmread(BytesIO(encode_dicom(words, bits=12, PixelRepresentation=int(signed))))
    ds.add_new("PixelPaddingValue", vr, padding)
    ds.save_as(tmp_path / "a.dcm")
    pixels = read_radiograph(tmp_path / "a.dcm").pixels
    measured = stored[:, 20:]
    assert np.array_equal(pixels[:, 20:], measured)
    assert (pixels[:-1, :20] == measured.min()).all()


@pytest.mark.parametrize("units, sound", [((15, 15), True), ((17, 15), False), ((15, 17), False)])
def test_each_rle_segment_may_unfold_to_twice_a_plane(units, sound):
    "Two segments of a picture of 1000 pixels; each unit unfolds to 128 bytes."
    segments = [b"\x81\x00" * n for n in units]
    starts = (64, 64 + len(segments[0]))
    stream = struct.pack("<16I", 2, *starts, *[0] * 13) + b"".join(segments)
    if sound:
        return _check_rle(stream, 1000)
    with pytest.raises(Rejection, match="its run lengths unfold to more than its picture"):
        _check_rle(stream, 1000)


def test_lossless_sv1_states_selection_value_1():
    "PS3.5 A.4.1: process 14, selection value 1; in the scan's header, after its components."
    data = encode_dicom(STORED, uid.JPEGLosslessSV1, bits=12)
    stream = get_frame(pydicom.dcmread(BytesIO(data)).PixelData, 0, number_of_frames=1)
    at = stream.index(b"\xff\xda")
    assert stream[at + 5 + 2 * stream[at + 4]] == 1


WORDS = [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless]
WORDS += [uid.JPEG2000Lossless]  # that keep every bit of a word
ANGLED = ["399162004", "399196006"]  # caudad, cephalad


def restated(data: bytes, **elements) -> bytes:
    "The file with other elements in its header, its pixel data as they are."
    ds, out = pydicom.dcmread(BytesIO(data)), BytesIO()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("syntax", WORDS, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("high", [11, 13, 15])
@pytest.mark.parametrize("sign", ["unsigned", "not extended", "extended"])
@pytest.mark.parametrize("overlay", [False, True])
def test_a_value_in_a_word_that_was_compressed(overlay, sign, high, syntax, tmp_path):
    values = STORED.astype(np.int64) - (0 if sign == "unsigned" else 2048)
    words = (values if sign == "extended" else values & 0xFFF) << (high - 11)
    beside = np.where(np.indices(words.shape).sum(0) % 3, ~(0xFFF << (high - 11)), 0)
    words = (words ^ beside if overlay else words).astype(np.uint16)
    header = dict(BitsStored=12, HighBit=high, PixelRepresentation=int(sign != "unsigned"))
    data = restated(encode_dicom(words, syntax), **header)
    (tmp_path / "a.dcm").write_bytes(data)
    radiograph = read_radiograph(tmp_path / "a.dcm")
    assert np.array_equal(radiograph.pixels, values)
    noted = overlay and high == 11
    assert len(radiograph.warnings) == noted, radiograph.warnings


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless], ids=str)
def test_values_that_the_encoder_moved_down(syntax, tmp_path):
    "The header states the former `HighBit`, which a stream of 12 bits cannot reach."
    data = restated(encode_dicom(STORED, syntax, bits=12), HighBit=15)
    (tmp_path / "a.dcm").write_bytes(data)
    assert np.array_equal(read_radiograph(tmp_path / "a.dcm").pixels, STORED)


FRONTAL_VIEWS = {"Frontal", "AnteroPosterior", "PosteroAnterior", "AxialProjection"}
LIMB = re.compile("Limb|Leg|Arm|Hand|Foot|Knee|Ankle|Wrist|Elbow|Finger|Thumb|Toe|Thigh|Forearm")
LIMB_BONE = re.compile("Extremit|Calcaneus|Femur|Fibula|Humerus|Patella|Tars")


def context_group(cid) -> dict[str, tuple[str, ...]]:
    "The codes of a context group of PS3.16, as SNOMED CT and RT, by the names that pydicom has."
    former = {}
    for number, code in mapping["SRT"].items():
        former.setdefault(code, []).append(number)
    values = {name: getattr(cid, name).value for name in cid.dir()}
    return {name: (code, *former.get(code, ())) for name, code in values.items()}


def test_codes_of_views_and_limbs_are_those_of_the_standard():
    views, regions = context_group(codes.cid4010), context_group(codes.cid4031)
    assert len(views) > 35 and len(regions) > 100
    for name, numbers in views.items():
        frontal = name in FRONTAL_VIEWS
        assert not set(numbers) & _CODES if frontal else set(numbers) <= _CODES, name
    limbs = {n for n in regions if LIMB.search(n) or LIMB_BONE.search(n)}
    assert len(limbs) > 25
    for name, numbers in regions.items():
        limb = name in limbs
        assert set(numbers) <= _LIMB_CODES if limb else not set(numbers) & _LIMB_CODES, name


@pytest.mark.parametrize("part", "Handgelenk Unterschenkel muñeca genou ANKLEJOINT POLSO".split())
def test_limb_in_other_words_is_rejected(part, read):
    with pytest.raises(RadiographError, match="not a chest"):
        read(BodyPartExamined=part)


MIRRORED = ["R/F", "R F", "r, f", "RIGHT/FOOT", "(R,F)", "R-F", "R/F/", '"R","F"']
MIRRORED += [["RIGHT", "FOOT"], ["R", "F", ""], ["RIGHT POSTERIOR", "FOOT"]]


@pytest.mark.parametrize("stated", MIRRORED)
def test_mirror_that_is_declared_in_another_spelling_is_turned_back(stated, read):
    radiograph = read(PatientOrientation=stated)
    assert np.array_equal(radiograph.pixels, STORED[:, ::-1])
    assert "mirrored" in radiograph.warnings[0]


@pytest.mark.parametrize("code", ANGLED)
def test_an_angled_beam_is_frontal_as_a_modifier_alone(code, read):
    view, angle = coded(CodeValue="399348003"), coded(CodeValue=code)
    view.ViewModifierCodeSequence = [angle]
    assert read(ViewCodeSequence=[view]).warnings == ()
    with pytest.raises(RadiographError, match="not frontal"):
        read(ViewCodeSequence=[angle])


@pytest.mark.parametrize("name", ["JPEG2000", "HTJ2K", "JPEGLSNearLossless"])
def test_a_stream_that_may_lose_something_is_read_by_sign_and_bits_too(name, tmp_path):
    values = STORED.astype(np.int64) - 2048
    source = {"JPEG2000": "JPEG2000Lossless", "HTJ2K": "HTJ2KLossless"}.get(name, "JPEGLSLossless")
    data = (
        dicom((values & 0xFFF).astype(np.uint16), source)
        if name == "HTJ2K"
        else encode_dicom((values & 0xFFF).astype(np.uint16), getattr(uid, source))
    )
    ds, out = pydicom.dcmread(BytesIO(data)), BytesIO()
    for keyword in ("WindowCenter", "WindowWidth"):
        ds.pop(keyword, None)
    ds.file_meta.TransferSyntaxUID = getattr(uid, name)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 1
    ds.save_as(out, enforce_file_format=True)
    (tmp_path / "a.dcm").write_bytes(out.getvalue())
    assert np.array_equal(read_radiograph(tmp_path / "a.dcm").pixels, values)
