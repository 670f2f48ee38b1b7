/**
 * Whimbrel in React: one client for the application, messages as state.
 *
 *     <Whimbrel servers={["wss://a.example.com", "wss://b.example.com"]}>
 *       <Flights />
 *     </Whimbrel>
 */

import { createContext, useContext, useEffect, useState } from "react";
import { Client } from "whimbrel";

const ClientContext = createContext(/** @type {Client | null} */ (null));

/**
 * Connects while it is shown. Statuses are for whoever wants to show them.
 *
 * @param {{ servers: string[], onStatus?: (status: import("whimbrel").Status) => void, children: import("react").ReactNode }} props
 */
export function Whimbrel({ servers, onStatus, children }) {
  const [client, setClient] = useState(/** @type {Client | null} */ (null));
  const key = servers.join(" ");
  useEffect(() => {
    const client = new Client(key.split(" "), { onStatus });
    setClient(client);
    return () => client.close();
  }, [key, onStatus]);
  return <ClientContext value={client}>{children}</ClientContext>;
}

/** To publish: `await useClient()?.publish("/notes/1", { text: "hello" })`. */
export function useClient() {
  return useContext(ClientContext);
}

/**
 * The latest message of each subject, by subject, and the error that ended the subscription, if one did.
 *
 * @template T
 * @param {string} subject a subject or pattern
 * @returns {{ messages: ReadonlyMap<string, import("whimbrel").Message<T>>, error: Error | null }}
 */
export function useLatest(subject) {
  const client = useClient();
  const [messages, setMessages] = useState(/** @type {ReadonlyMap<string, import("whimbrel").Message<T>>} */ (new Map()));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  useEffect(() => {
    if (client === null) return;
    setMessages(new Map());
    setError(null);
    /** @type {import("whimbrel").Subscription<T>} */
    const subscription = client.subscribe(subject, (message) =>
      setMessages((before) => {
        const after = new Map(before);
        if (message.tombstone) after.delete(message.subject);
        else after.set(message.subject, message);
        return after;
      }),
    );
    subscription.closed.catch(setError);
    return () => subscription.unsubscribe();
  }, [client, subject]);
  return { messages, error };
}

export function Flights() {
  const { messages, error } = useLatest("/flights/*");
  if (error) return <p role="alert">{error.message}</p>;
  return (
    <ul>
      {[...messages.values()].map(({ subject, key, json }) => (
        <li key={subject}>
          {key}: {json.alt}
        </li>
      ))}
    </ul>
  );
}
