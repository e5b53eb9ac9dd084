/**
 * What is asked for ahead of its use: a function that gives the answers to `requests`, in their order, and keeps up to
 * `ahead` of them in the making or ready while the caller works on the last one it was given. Never more, so that a slow
 * caller does not fill the memory.
 *
 * Past the last request it gives `undefined`. A failure is thrown when its turn comes; a caller who stops early never
 * hears of those ahead.
 *
 * @param ahead 1 or more.
 */
export function prefetch<Request, Answer>(
  requests: readonly Request[],
  ask: (request: Request) => Promise<Answer>,
  ahead: number,
): () => Promise<Answer | undefined> {
  const line: Promise<Answer>[] = [];
  let at = 0;
  const fill = () => {
    for (const request of requests.slice(at, at + ahead - line.length)) {
      const answer = ask(request);
      answer.catch(() => {});
      line.push(answer);
      at++;
    }
  };
  return async () => {
    // Only the first time: afterwards the line is as long as it may be.
    fill();
    const answer = await line.shift();
    fill();
    return answer;
  };
}
