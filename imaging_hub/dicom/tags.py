"""Tags of attributes by their keywords (PS3.6): those that the hub itself names.

A tag is `group << 16 | element`.
"""

from __future__ import annotations

MediaStorageSOPClassUID = 0x00020002
MediaStorageSOPInstanceUID = 0x00020003
TransferSyntaxUID = 0x00020010
SpecificCharacterSet = 0x00080005
ImageType = 0x00080008
InstanceCreationDate = 0x00080012
InstanceCreationTime = 0x00080013
SOPClassUID = 0x00080016
SOPInstanceUID = 0x00080018
StudyDate = 0x00080020
SeriesDate = 0x00080021
AcquisitionDate = 0x00080022
ContentDate = 0x00080023
AcquisitionDateTime = 0x0008002A
ContentTime = 0x00080033
Modality = 0x00080060
InstitutionName = 0x00080080
CodeValue = 0x00080100
CodingSchemeDesignator = 0x00080102
CodeMeaning = 0x00080104
CodingSchemeURL = 0x0008010E
LongCodeValue = 0x00080119
URNCodeValue = 0x00080120
RecordKey = 0x0008041B
PriorRecordKey = 0x0008041C
OperatorIdentificationSequence = 0x00081072
ReferencedSeriesSequence = 0x00081115
PatientName = 0x00100010
PatientID = 0x00100020
IssuerOfPatientID = 0x00100021
IssuerOfPatientIDQualifiersSequence = 0x00100024
PatientBirthDate = 0x00100030
PatientSex = 0x00100040
OtherPatientNames = 0x00101001
OtherPatientIDsSequence = 0x00101002
PatientBirthName = 0x00101005
PatientAge = 0x00101010
PatientMotherBirthName = 0x00101060
PatientIdentityRemoved = 0x00120062
DeidentificationMethod = 0x00120063
DeidentificationMethodCodeSequence = 0x00120064
LensSpecification = 0x0016004E
LensMake = 0x0016004F
LensModel = 0x00160050
GPSMapDatum = 0x00160082
TriggerTime = 0x00181060
ExposureTime = 0x00181150
Exposure = 0x00181152
StudyInstanceUID = 0x0020000D
SeriesInstanceUID = 0x0020000E
AcquisitionNumber = 0x00200012
InstanceNumber = 0x00200013
ImagePositionPatient = 0x00200032
PositionReferenceIndicator = 0x00201040
SliceLocation = 0x00201041
ModifiedImageDescription = 0x00203406
SamplesPerPixel = 0x00280002
BitsAllocated = 0x00280100
SmallestImagePixelValue = 0x00280106
LargestImagePixelValue = 0x00280107
BurnedInAnnotation = 0x00280301
RecognizableVisualFeatures = 0x00280302
LongitudinalTemporalInformationModified = 0x00280303
WindowCenter = 0x00281050
WindowCenterWidthExplanation = 0x00281055
ImagePresentationComments = 0x00284000
UniversalEntityID = 0x00400032
IdentifierTypeCode = 0x00400035
ProtocolContextSequence = 0x00400440
ContentItemModifierSequence = 0x00400441
SpecimenPreparationStepContentItemSequence = 0x00400612
MeasurementUnitsCodeSequence = 0x004008EA
PersonIdentificationCodeSequence = 0x00401101
RelationshipType = 0x0040A010
VerifyingOrganization = 0x0040A027
VerificationDateTime = 0x0040A030
ValueType = 0x0040A040
ConceptNameCodeSequence = 0x0040A043
VerifyingObserverSequence = 0x0040A073
ObjectBinaryIdentifierTrial = 0x0040A074
VerifyingObserverName = 0x0040A075
VerifyingObserverIdentificationCodeSequence = 0x0040A088
ObjectDirectoryBinaryIdentifierTrial = 0x0040A089
DateTime = 0x0040A120
Date = 0x0040A121
Time = 0x0040A122
PersonName = 0x0040A123
UID = 0x0040A124
TextValue = 0x0040A160
ConceptCodeSequence = 0x0040A168
MeasuredValueSequence = 0x0040A300
NumericValue = 0x0040A30A
ContentSequence = 0x0040A730
WaveformAnnotationSequence = 0x0040B020
ReferencedContentItemIdentifier = 0x0040DB73
EncapsulatedDocument = 0x00420011
EncapsulatedDocumentLength = 0x00420015
SpecimenLabelInImage = 0x00480010
DeviceDescription = 0x00500020
HPGLDocument = 0x00686300
GraphicAnnotationSequence = 0x00700001
UnformattedTextValue = 0x00700006
TickLabel = 0x00700289
Signature = 0x04000120
EncryptedAttributesSequence = 0x04000500
EncryptedContentTransferSyntaxUID = 0x04000510
EncryptedContent = 0x04000520
ModifyingSystem = 0x04000563
SourceManufacturer = 0x300A0216
MACParametersSequence = 0x4FFE0001
FloatPixelData = 0x7FE00008
DoubleFloatPixelData = 0x7FE00009
PixelData = 0x7FE00010
DataSetTrailingPadding = 0xFFFCFFFC
Item = 0xFFFEE000
ItemDelimitationItem = 0xFFFEE00D
SequenceDelimitationItem = 0xFFFEE0DD

PIXEL_DATA_ATTRIBUTES = (FloatPixelData, DoubleFloatPixelData, PixelData)
"""One of these holds the samples of an image (PS3.3 §C.7.6.3, §C.7.6.24)."""

NEWER = {
    0x00081301: "SQ", 0x00081302: "SQ", 0x00081303: "SQ", 0x00081304: "SQ",
    0x00100011: "SQ", 0x00100012: "LT", 0x00100013: "LT", 0x00100014: "SQ", 0x00100015: "SQ", 0x00100016: "LT",
    0x00100041: "SQ", 0x00100042: "LT", 0x00100043: "SQ", 0x00100044: "SQ", 0x00100045: "LT", 0x00100046: "SQ",
    0x00100047: "UR", 0x00102162: "UC", 0x0040A034: "DT", 0x0040A035: "DT", 0x0040B034: "DT", 0x0040B036: "DT",
    0x0040B03B: "LO", 0x0040B03F: "SH", 0x0040E012: "UR",
}  # fmt: skip
"""VR of attributes that PS3.15 Table E.1-1 names and PS3.6 2026c has, but the dictionary of pydicom 3.0.2 not yet."""
