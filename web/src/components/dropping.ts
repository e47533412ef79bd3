// Files that are dropped or pasted. Texts go where they always go.

/** Return handlers of an element that take files which are dropped on it or pasted into it. */
export const droppingInto = (onFiles: (files: File[]) => void) => ({
  onDragOver: (event: DragEvent) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  },
  onDrop: (event: DragEvent) => take(event, event.dataTransfer, onFiles),
  onPaste: (event: ClipboardEvent) => take(event, event.clipboardData, onFiles),
});

function take(event: Event, data: DataTransfer | null, onFiles: (files: File[]) => void): void {
  const files = [...(data?.files ?? [])];
  if (files.length === 0) return;
  event.preventDefault();
  onFiles(files);
}
