// How a button reaches a kernel whose main thread is busy.

/** What a widget is given; the part of it that is used here. */
export interface Model {
  get(key: string): unknown;
  on(event: string, callback: () => void): void;
  off(event: string, callback: () => void): void;
  send(content: unknown): void;
  widget_manager?: { kernel?: Kernel | null };
}

/** JupyterLab's and Notebook's connection to a kernel; other front ends show none. */
interface Kernel {
  clientId?: string;
  username?: string;
  sendControlMessage?(message: unknown, expectReply: boolean): { done: Promise<unknown> };
}

/** Milliseconds to wait for an answer on the control channel. */
const PATIENCE = 500;

/**
 * Send a request to the kernel: on the control channel, which is served while a cell runs; and where
 * there is none, or it does not answer, by the widget's comm.
 */
export async function request(model: Model, content: Record<string, unknown>): Promise<void> {
  if (!(await answered(model.widget_manager?.kernel, content))) {
    model.send(content);
  }
}

async function answered(
  kernel: Kernel | null | undefined,
  content: Record<string, unknown>,
): Promise<boolean> {
  if (!kernel?.sendControlMessage) {
    return false;
  }
  const message = {
    header: {
      date: new Date().toISOString(),
      msg_id: identifier(),
      msg_type: "nbscale_request",
      session: kernel.clientId ?? "",
      username: kernel.username ?? "",
      version: "5.3",
    },
    parent_header: {},
    metadata: {},
    content,
    buffers: [],
    channel: "control",
  };
  const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), PATIENCE));
  try {
    const reply = kernel.sendControlMessage(message, true).done.then(() => true);
    return await Promise.race([reply.catch(() => false), late]);
  } catch {
    return false;
  }
}

/** Not `crypto.randomUUID`, which is only there on secure origins. */
function identifier(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
