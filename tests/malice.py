"""A pickle that runs code when it is loaded."""

import pickle


class Evil:
    """Unpickling it ends the process."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


PICKLE = pickle.dumps(Evil())
