(** * A convolution and its batch normalisation *)

From Coq Require Import Reals Lra Lia Psatz List Permutation.
From Flocq.Core Require Import Raux.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Sums binary32.Layers.
From Lastbit Require Import operations.Perturbed operations.BatchNorm.
Import ListNotations.
Open Scope R_scope.

(** ** The worst tree of changed terms *)

Lemma top_scale a l k : 0 <= a -> top k (map (Rmult a) l) = a * top k l.
Proof.
  intros Ha. revert k. induction l as [|x l IH]; intros k; [simpl; rewrite !top_nil; ring|].
  destruct k; [rewrite !top_0; ring|]. simpl. rewrite !IH, <- RmaxRmult by exact Ha. f_equal. ring.
Qed.

Lemma worst_scale a c f l : 0 <= a -> a * worst c f l = worst (a * c) (a * f) (map (Rmult a) l).
Proof.
  intros Ha. destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite !worst_short by (rewrite ?map_length; exact L). ring.
  - rewrite !worst_long by (rewrite ?map_length; exact L). rewrite map_length, Rmult_plus_distr_l. f_equal.
    unfold levels. rewrite <- over_scale. apply over_ext. intros j _. rewrite top_scale by exact Ha.
    apply Rmult_min_distr_l. exact Ha.
Qed.

Lemma top_shift l l' : Forall2 Rle l l' -> forall k, top k l' <= top k l + (total l' - total l).
Proof.
  induction 1 as [|x y l l' H F IH]; intros k; [rewrite top_nil; simpl; lra|].
  assert (T := total_le _ _ F). change (total (y :: l')) with (y + total l'). change (total (x :: l)) with (x + total l).
  destruct k; [rewrite !top_0; lra|]. simpl.
  apply Rmax_lub; [generalize (IH k) (Rmax_l (x + top k l) (top (S k) l))|generalize (IH (S k)) (Rmax_r (x + top k l) (top (S k) l))]; simpl; lra.
Qed.

(** Terms, cap and whole larger by [d] in all: every sum is larger by [d] at most. *)
Lemma worst_shift c c' f f' l l' d : Forall2 Rle l l' -> 0 <= d -> total l' - total l <= d -> c' <= c + d -> f' <= f + d ->
  worst c' f' l' <= worst c f l + INR (length l) * d.
Proof.
  intros F D0 Ht Hc Hf. assert (E : length l = length l') by (induction F; simpl; auto; f_equal; apply IHF; simpl in *; lra).
  assert (P := pos_INR (length l)). assert (0 <= INR (length l) * d) by now apply Rmult_le_pos.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by lia; lra|].
  rewrite !worst_long by lia. rewrite <- E.
  assert (K : levels c' (length l - 2) l' <= levels c (length l - 2) l + INR (length l - 2) * d).
  { unfold levels. generalize (length l - 2)%nat. induction n as [|n IH]; [unfold over; simpl; lra|].
    rewrite !over_S, S_INR. assert (T := top_shift l l' F (S (S n))).
    assert (Rmin (top (S (S n)) l') c' <= Rmin (top (S (S n)) l) c + d).
    { rewrite (Rplus_comm _ d). unfold Rmin. repeat destruct Rle_dec; lra. }
    lra. }
  assert (INR (length l - 2) * d + d <= INR (length l) * d).
  { replace (length l) with (S (S (length l - 2))) at 2 by lia. rewrite !S_INR. lra. }
  lra.
Qed.

Lemma worst_mono c c' f f' l l' : c <= c' -> f <= f' -> Forall2 Rle l l' -> worst c f l <= worst c' f' l'.
Proof.
  intros Hc Hf F. apply Rle_trans with (worst c f' l'); [now apply worst_le|].
  assert (F' : Forall2 Rle l' l') by (clear; induction l'; constructor; [lra|assumption]).
  generalize (worst_shift c' c f' f' l' l' 0 F' (Rle_refl 0)). lra.
Qed.

Lemma worst_whole c f a l : 0 <= a -> worst c (f + a) l <= worst c f l + a.
Proof.
  intros Ha. destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by exact L; lra|].
  rewrite !worst_long by exact L. lra.
Qed.

(** ** A sum that stays in range, with the sharpest caps *)

Definition in_range (l : list term) : Prop := size l + error (size l) (size l) l <= largest.

Definition cap (l : list term) : R := (size l + Rabs (exact_sum l)) / 2.

(** Operands read as 0, and flushes, in a sum. *)
Definition flushes (l : list term) : R := total (map flush_of l) + 4 * INR (length l) + 1.

Lemma in_range_error l v : sum l (Finite v) -> in_range l -> forall k, (S (length l) <= k)%nat ->
  Rabs (v - exact_sum l) <=
  (1 + u) ^ k * (u * (worst (cap l) (Rabs (exact_sum l)) (map magnitude l) + size l) + eta * flushes l).
Proof.
  intros H Hr k Hk. assert (Sz := exact_sum_size l). assert (A0 := Rabs_pos (exact_sum l)). assert (Hu := u_pos). assert (He := eta_pos).
  assert (Z0 := size_pos l). set (f := Rabs (exact_sum l)) in *.
  assert (C0 : 0 <= cap l) by (unfold cap; fold f; lra).
  assert (Bd : bounded (cap l) l) by (apply (bounded_parts _ f); [apply Rle_refl|unfold cap; fold f; lra]).
  assert (Ll : (length (live l) <= length l)%nat).
  { unfold live. apply Nat.le_trans with (1 := filter_length _). now rewrite map_length. }
  assert (Nm : nonneg (map magnitude l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _). apply magnitude_pos. }
  assert (W := worst_filter (cap l) f _ C0 A0 Nm). fold (live l) in W.
  assert (Er : error (cap l) f l <= error (size l) (size l) l).
  { unfold error, first_order. apply Rmult_le_compat_l; [generalize (pow_1u (length (live l))); lra|].
    apply Rplus_le_compat_r. apply Rmult_le_compat_l; [lra|]. apply Rplus_le_compat_r.
    apply worst_mono; [unfold cap; fold f; lra|exact Sz|]. induction (live l); constructor; [lra|assumption]. }
  destruct (sum_error (cap l) C0 l _ H f Bd (Rle_refl _)) as (a & p & E & Ra & Ea); [unfold in_range in Hr; lra|].
  injection E as <-. replace (v - exact_sum l) with ((v - a) + (a - exact_sum l)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). assert (R := reads_error _ _ Ra).
  unfold error, first_order in Ea.
  assert (N0 : 0 <= u * (worst (cap l) f (live l) + total (map products_of l)) + eta * (total (map flush_of l) + 4 * INR (pred (length (live l)))))
    by exact (first_order_pos _ C0 f l A0).
  assert (A := amplify (length (live l)) k _ ltac:(lia) N0). assert (P := pow_1u k).
  apply Rle_trans with ((1 + u) ^ k * (u * (worst (cap l) f (live l) + total (map products_of l)) + eta * (total (map flush_of l) + 4 * INR (pred (length (live l))) + 1))).
  { assert (1 * eta <= (1 + u) ^ k * eta) by (apply Rmult_le_compat_r; lra). lra. }
  apply Rmult_le_compat_l; [lra|]. assert (Pz := products_size l).
  assert (INR (pred (length (live l))) <= INR (length l)) by (apply le_INR; lia).
  apply Rplus_le_compat; apply Rmult_le_compat_l; try lra. unfold flushes. lra.
Qed.
