import { BaseCommand } from '../cli/base-command.js';
import { renderDoctor } from '../cli/render.js';

export default class Doctor extends BaseCommand {
  static override summary = 'Say which backends work here, and why the others do not.';
  static override description = 'Starts each compute backend in turn, and the engine that eval and generate run students on, and has each do a small sum.';
  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor --json'];

  async run() {
    await this.parse(Doctor);
    const { explainBackends } = await import('../core/backend/select.js');
    const { probeEngine } = await import('../core/engine/probe.js');
    const backends = await this.work(async () => [...await explainBackends(), await probeEngine()]);
    const result = { backends, node: process.versions.node, platform: `${process.platform} ${process.arch}` };
    this.log(renderDoctor(result));
    return result;
  }
}
