/**
 * ONNX Runtime 1.30 keeps a device identifier under the home folder and sends usage data to its makers, unless this
 * variable is set when its library loads. A model server has no business telling anybody what it runs. Imported, for its
 * effect, by what starts sessions; the native code reads the environment of the process, so a worker thread is too late.
 */
process.env['ORT_DISABLE_TELEMETRY'] = '1';
