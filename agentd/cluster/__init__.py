"""Beyond one machine: the same work on a Ray cluster. The only room that imports ray.

Ray Core alone is used: tasks, actors, the object store. Whoever reaches a Ray cluster runs code on
it, and tasks travel as Ray's pickles: a cluster is one trust domain. What games send is unpickled
here as little as anywhere.
"""
