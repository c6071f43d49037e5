// Opens the series, the segmentation and the report named by files.json as OHIF does, and tells what it read of them.
import * as core from "@cornerstonejs/core";
import * as tools from "@cornerstonejs/tools";
import { adaptersSEG } from "@cornerstonejs/adapters";
import dicomImageLoader from "@cornerstonejs/dicom-image-loader";
import dcmjs from "dcmjs";

const bytes = async (path) => (await fetch(path)).arrayBuffer();

function natural(buffer) {
  const file = dcmjs.data.DicomMessage.readFile(buffer);
  return dcmjs.data.DicomMetaDictionary.naturalizeDataset(file.dict);
}

const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

// Every number of a report: tracking identifier of its group, name, derivation, value and unit.
function numbersOf(report) {
  const found = [];
  const walk = (item, group) => {
    const inside = list(item.ContentSequence);
    const code = (one) => list(one.ConceptNameCodeSequence)[0]?.CodeValue;
    const tracking = inside.find((one) => code(one) === "112039")?.TextValue ?? group;
    if (item.ValueType === "NUM") {
      const value = list(item.MeasuredValueSequence)[0];
      const derivation = inside.find((one) => code(one) === "121401");
      found.push([
        group,
        code(item),
        derivation ? list(derivation.ConceptCodeSequence)[0].CodeValue : "",
        Number(value.NumericValue),
        list(value.MeasurementUnitsCodeSequence)[0].CodeValue,
      ]);
    }
    inside.forEach((one) => walk(one, tracking));
  };
  walk(report, "");
  return found;
}

// Voxels of each segment and the sum of their places in the series, by its number.
function voxelsOf(labelmaps) {
  const found = {};
  for (const images of labelmaps)
    images.forEach((image, z) => {
      const values = image.voxelManager.getScalarData();
      values.forEach((segment, place) => {
        if (!segment) return;
        found[segment] ??= { voxels: 0, places: 0 };
        found[segment].voxels += 1;
        found[segment].places += z * values.length + place;
      });
    });
  return found;
}

async function show(imageIds, labelmap, slice) {
  const engine = new core.RenderingEngine("engine");
  const element = document.getElementById("viewer");
  engine.enableElement({ viewportId: "view", type: core.Enums.ViewportType.STACK, element });
  const view = engine.getViewport("view");
  await view.setStack(imageIds, slice);
  view.setProperties({ voiRange: { lower: -250, upper: 450 } });
  await tools.segmentation.addSegmentations([
    {
      segmentationId: "emboli",
      representation: {
        type: tools.Enums.SegmentationRepresentations.Labelmap,
        data: { imageIds: labelmap.map((image) => image.imageId) },
      },
    },
  ]);
  await tools.segmentation.addLabelmapRepresentationToViewport("view", [{ segmentationId: "emboli" }]);
  view.render();
}

async function run() {
  const files = await (await fetch("files.json")).json();
  await core.init();
  await tools.init();
  dicomImageLoader.init({ maxWebWorkers: 1 });
  const imageIds = files.series.map((path) => `wadouri:${new URL(path, location.href).href}`);
  for (const id of imageIds) await core.imageLoader.loadAndCacheImage(id);
  const read = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(imageIds, await bytes(files.seg), {
    metadataProvider: core.metaData,
  });
  const report = natural(await bytes(files.sr));
  window.result = {
    segments: read.segMetadata.data.filter(Boolean).map((one) => [Number(one.SegmentNumber), one.SegmentLabel, one.TrackingUID]),
    voxels: voxelsOf(read.labelMapImages),
    overlapping: read.overlappingSegments,
    numbers: numbersOf(report),
    title: list(report.ConceptNameCodeSequence)[0].CodeMeaning,
  };
  await show(imageIds, read.labelMapImages[0], files.slice);
}

run()
  .catch((error) => (window.failure = `${error?.stack ?? error}`))
  .finally(() => setTimeout(() => (document.documentElement.dataset.ready = "yes"), 3000));
