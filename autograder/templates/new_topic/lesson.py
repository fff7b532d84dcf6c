# %% [markdown]
# # New topic
# A row of numbers is an arrow. Its direction says what it is like; its length often says only how loud it is.
# Here you keep the direction and set the length to one.
#
# Your code goes into `new_topic.py`, beside this notebook.

# %%
# %load_ext autoreload
# %autoreload 2
import matplotlib.pyplot as plt
import new_topic
import numpy as np

from autograder import attempt, check

# %% [markdown]
# ## 1 Rows of length one
# The Euclidean length of a row is $\sqrt{\sum_j x_j^2}$. Before you write code: what is the length of (3, 4)?

# %% task="unit_rows"
check("unit_rows")

# %% [markdown]
# Each arrow keeps its direction and ends on the circle of radius one.

# %%
arrows = np.random.default_rng(0).normal(size=(40, 2))
with attempt():
    ends = new_topic.unit_rows(arrows)
    plt.figure(figsize=(4, 4))
    plt.scatter(*arrows.T, label="before")
    plt.scatter(*ends.T, label="after")
    plt.xlabel("first entry")
    plt.ylabel("second entry")
    plt.axis("equal")
    plt.legend()
    plt.show()

# %% [markdown] question="zero_row" points=5
# A row of zeros stays as it is. What would happen without that rule? Why is an error not better?

# %% [markdown] question="when_to_scale" points=5
# Name a case in which the length of a row matters, so that scaling it away would lose the information you need.
