import { Command } from 'commander';
import { addExecutionOption, type ExecutionName, toExecution } from '../execution-option.js';
import { addCommonOptions, addModelOptions, type CommonOptions, type ModelOptions, toOpenOptions } from '../options.js';
import { formatByteSize } from '../output.js';
import { startCommand } from '../start-command.js';

/** `shibori export MODEL OUT` */
export function exportCommand(): Command {
  const command = new Command('export')
    .description('write a model in another format: .onnx, .safetensors or .pt, by the extension')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .argument('<out>', 'the file to write');
  addExecutionOption(command, 'cores of tensor trains one by one, weight reconstructed at load, or the faster one');
  return addCommonOptions(addModelOptions(command), 'shibori export vgg16.pt vgg16.onnx').action(
    async (file: string, out: string, options: CommonOptions & ModelOptions & { execution?: ExecutionName }) => {
      const { output, context } = startCommand(command, options);
      const { exportModel } = await import('../../workflows/export-model.js');
      const { model: _model, ...result } = await exportModel({
        ...context,
        ...toOpenOptions(options),
        model: file,
        output: out,
        ...(options.execution ? { execution: toExecution(options.execution) } : {}),
      });
      output.result(result, (r) => `Written to ${r.file} (${formatByteSize(r.sizeBytes)})`);
    },
  );
}
