(** * Ranges and changes, carried through the linear core

    Let every unit be [x k = b k + sum_{j < k} L k j * x j] up to a residual of at most [rest k].
    The checker keeps a form of each unit: a centre [c k] and columns [A k g] for earlier units [g],
    and bounds by [err k] what unit [k] adds of its own.

    - [forms]: whatever [c] and [A] are, if [err] satisfies the local inequality [local_error], then
      [x k] is within [radius k = sum_{g < k} |A k g| err g + err k] of [c k].

    For the values of one run [b] is the offset of each unit; for the difference of two runs [b] and
    [c] are 0 and [A] is the same. Units [g] with a column somewhere are the checker's bases;
    columns that are exact images of the core, and those that were rounded to a grid, are all
    covered. Rests on nothing but real arithmetic. Stands behind columns.py, forms.py, and the range
    and change parts of the rules in operators/; linear dependence only (the Euclidean norms are
    apart). *)

From Coq Require Import Reals Lra Lia List.
From Lastbit Require Import Totals network.Duals.
Open Scope R_scope.

(** Columns of unit [j]; its own is 1. *)
Definition column (A : nat -> nat -> R) (j g : nat) : R :=
  if (g <? j)%nat then A j g else if (g =? j)%nat then 1 else 0.

(** The image of the columns of the operands, less the columns kept. *)
Definition misfit (L A : nat -> nat -> R) (k g : nat) : R :=
  over k (fun j => L k j * column A j g) - A k g.

Definition local_error (b : nat -> R) (L : nat -> nat -> R) (c : nat -> R) (A : nat -> nat -> R)
    (rest err : nat -> R) (k : nat) : Prop :=
  Rabs (b k + read_through L c k - c k) + over k (fun g => Rabs (misfit L A k g) * err g) +
  rest k <= err k.

Definition radius (A : nat -> nat -> R) (err : nat -> R) (k : nat) : R :=
  over k (fun g => Rabs (A k g) * err g) + err k.

(** What each unit adds of its own. *)
Lemma own_parts n (x c : nat -> R) A : exists h : nat -> R,
  forall k, (k < n)%nat -> x k = c k + over k (fun g => A k g * h g) + h k.
Proof.
  induction n as [|n (h & H)]; [exists (fun _ => 0); lia|].
  exists (fun k => if (k =? n)%nat then x n - c n - over n (fun g => A n g * h g) else h k).
  intros k Hk.
  assert (E :
    over k (fun g =>
      A k g * (if (g =? n)%nat then x n - c n - over n (fun g0 => A n g0 * h g0) else h g))
    = over k (fun g => A k g * h g)).
  { apply over_ext. intros g Hg. destruct (Nat.eqb_spec g n); [lia|reflexivity]. }
  rewrite E. destruct (Nat.eqb_spec k n) as [->|N]; [ring|]. apply H. lia.
Qed.

(** The value of unit [j] from its columns, summed over all units before [k]. *)
Lemma columns_sum A h k j : (j < k)%nat ->
  over j (fun g => A j g * h g) + h j = over k (fun g => column A j g * h g).
Proof.
  intros Hj. rewrite (over_cut k (S j)).
  - rewrite over_S. unfold column at 2. rewrite Nat.ltb_irrefl, Nat.eqb_refl, Rmult_1_l. f_equal.
    apply over_ext. intros g Hg. unfold column. destruct (Nat.ltb_spec g j); [reflexivity|lia].
  - lia.
  - intros g Hg. unfold column. destruct (Nat.ltb_spec g j); [lia|].
    destruct (Nat.eqb_spec g j); [lia|ring].
Qed.

(* map: ranges and changes carried by centres and columns, whatever these are *)
Theorem forms n x b L c A rest err :
  (forall k, (k < n)%nat -> Rabs (x k - b k - read_through L x k) <= rest k) ->
  (forall k, (k < n)%nat -> local_error b L c A rest err k) ->
  forall k, (k < n)%nat -> Rabs (x k - c k) <= radius A err k.
Proof.
  intros HX HE. destruct (own_parts n x c A) as (h & H).
  assert (K : forall k, (k < n)%nat -> Rabs (h k) <= err k).
  { intros k. induction k as [k IH] using (well_founded_induction Wf_nat.lt_wf). intros Hk.
    assert (E : h k = (b k + read_through L c k - c k) + over k (fun g => misfit L A k g * h g) +
                      (x k - b k - read_through L x k)).
    { assert (R1 : read_through L x k = read_through L c k +
        over k (fun g => over k (fun j => L k j * column A j g) * h g)).
      { unfold read_through.
        transitivity (over k (fun j => L k j * c j + over k (fun g => L k j * column A j g * h g))).
        - apply over_ext. intros j Hj. rewrite (H j) by lia.
          rewrite Rplus_assoc, (columns_sum A h k j Hj). rewrite Rmult_plus_distr_l, <- over_scale.
          f_equal. apply over_ext. intros; ring.
        - rewrite over_plus, over_swap. f_equal. apply over_ext. intros g Hg.
          rewrite Rmult_comm, <- over_scale. apply over_ext. intros; ring. }
      assert (R2 : over k (fun g => misfit L A k g * h g) =
        over k (fun g => over k (fun j => L k j * column A j g) * h g) +
        - 1 * over k (fun g => A k g * h g)).
      { rewrite <- over_scale, <- over_plus. apply over_ext. intros. unfold misfit. ring. }
      rewrite R2, R1. specialize (H k Hk). lra. }
    rewrite E. specialize (HE k Hk). unfold local_error in HE. specialize (HX k Hk).
    assert (T1 :=
      Rabs_triang (b k + read_through L c k - c k + over k (fun g => misfit L A k g * h g))
      (x k - b k - read_through L x k)).
    assert (T2 :=
      Rabs_triang (b k + read_through L c k - c k) (over k (fun g => misfit L A k g * h g))).
    assert (T3 : Rabs (over k (fun g => misfit L A k g * h g)) <=
      over k (fun g => Rabs (misfit L A k g) * err g)).
    { apply Rle_trans with (1 := over_abs _ _). apply over_le. intros g Hg. rewrite Rabs_mult.
      apply Rmult_le_compat_l; [apply Rabs_pos|]. apply IH; lia. }
    lra. }
  intros k Hk. rewrite (H k Hk). unfold radius.
  replace (c k + over k (fun g => A k g * h g) + h k - c k)
    with (over k (fun g => A k g * h g) + h k) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). apply Rplus_le_compat; [|now apply K].
  apply Rle_trans with (1 := over_abs _ _). apply over_le. intros g Hg. rewrite Rabs_mult.
  apply Rmult_le_compat_l; [apply Rabs_pos|]. apply K. lia.
Qed.
