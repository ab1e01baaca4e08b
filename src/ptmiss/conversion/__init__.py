"""Files of open full simulation as event files of this package, and the way back.

``convert`` is the verb. ``edm4hep`` reads events through ``podio`` (collections of any layout), ``generated``
(particles, neutrinos, beams) and ``detector`` (tracks, clusters, Pandora's candidates); ``assignment`` says which
element stands for which particle. ``records`` and ``arrayrecord`` read the public MLPF's files into ``tables``. All of
them make ``contents``, which pass the ``gates`` before ``output`` writes them. ``export`` and ``formats`` write our
events in the public formats.
"""
