(** * Loops of IEEE 754 binary32, as programs write them

    A loop goes through the terms of a sum from left to right, with or without fused multiply-add,
    to nearest. What it returns is one of the values that Statement.v allows the sum:

    - [left_to_right], [fused_left_to_right]: from any partial sum, from 0 or from a bias;
    - [as_written]: a shortcut is added to the loop's result; [shortcut_first], [shortcut_between]:
      it is what the loop starts from, or it is added between two loops;
    - [divided_before], [divided_weights]: a number is divided by a constant before it is
      multiplied, or the weights were divided when the program was prepared.

    Nothing is asked but that what the loop reads is finite; if a partial sum overflows, [sum] says
    nothing of the result. Rests on Ieee.v; Runs.v takes it to networks. *)

From Coq Require Import Reals Lra List ZArith Permutation.
From Flocq Require Import Core IEEE754.Binary IEEE754.Bits.
Import BinarySingleNaN(mode(..)).
From Lastbit Require Import Statement binary32.Terms binary32.Additions binary32.Ieee.
Import ListNotations.
Open Scope R_scope.

(** ** Terms of floats *)

Notation real_of := (B2R 24 128).
Notation finite := (is_finite 24 128).

Inductive float_factor := By (c : binary32) | DividedBy (c : binary32).
Definition float_term : Type := list float_factor * binary32.

Definition factor_of (f : float_factor) : factor :=
  match f with By c => Times (real_of c) | DividedBy c => Over (real_of c) end.
Definition term_of (t : float_term) : term := (map factor_of (fst t), real_of (snd t)).

Definition finite_factor (f : float_factor) : Prop := match f with By c | DividedBy c =>
  finite c = true end.
Definition finite_term (t : float_term) : Prop := Forall finite_factor (fst t) /\
  finite (snd t) = true.

Definition zero : binary32 := B754_zero 24 128 false.

Lemma finite_value x : finite x = true -> value_of x = Finite (real_of x).
Proof. unfold value_of. now intros ->. Qed.

Lemma number_sum x : finite x = true -> sum [([], real_of x)] (value_of x).
Proof.
  intros H. rewrite (finite_value x H). apply sum_number. intros p [= <-]. exists (real_of x).
  split; [apply reads_refl|reflexivity].
Qed.

Lemma zero_sum : sum [] (value_of zero).
Proof. apply sum_zeros. constructor. Qed.

Lemma constant_folds c : finite c = true -> folds [Times (real_of c)] (value_of c).
Proof. intros H. rewrite (finite_value c H). apply folds_number. Qed.

(** A shortcut is a term whose constant is 1. *)
Definition shortcut (y : binary32) : term := ([Times 1], real_of y).

Lemma shortcut_sum y : finite y = true -> sum [shortcut y] (value_of y).
Proof.
  intros H. apply (sum_times [Times 1] [([], real_of y)] (Finite 1) (value_of y)).
  - discriminate.
  - apply folds_number.
  - now apply number_sum.
  - rewrite (finite_value y H). intros p q [= <-] [= <-]. exists 1, (real_of y). rewrite Rmult_1_l.
    repeat (split; [apply reads_refl|]). split; [apply rounds_exact|intros _; apply shifts_exact].
Qed.

Section Loops.
Variable m : mode.
Hypothesis Hm : nearest_mode m.

(** ** One term *)

(** A number, by its factors one after the other. *)
Definition scaled (fs : list float_factor) (x : binary32) : binary32 :=
  fold_right (fun f a => match f with By c => b32_mult m c a | DividedBy c =>
    b32_div m a c end) x fs.

Definition plain (acc : binary32) (t : float_term) : binary32 :=
  b32_plus m acc (scaled (fst t) (snd t)).

Definition fused (acc : binary32) (t : float_term) : binary32 :=
  match fst t with By c :: fs => b32_fma m c (scaled fs (snd t)) acc | _ => plain acc t end.

Lemma scaled_sum fs x : finite_term (fs, x) -> sum [term_of (fs, x)] (value_of (scaled fs x)).
Proof.
  intros [F X]. cbn [fst snd] in *. induction F as [|f fs H F IH]; [now apply number_sum|].
  destruct f as [c|c]; cbn [finite_factor] in H; cbn [scaled fold_right].
  - apply (sum_times [Times (real_of c)] [term_of (fs, x)]
      (value_of c) _ _ ltac:(discriminate) (constant_folds c H) IH).
    now apply mult_multiplies.
  - apply (sum_over [real_of c] [term_of (fs, x)]
      (value_of c) _ _ ltac:(discriminate) (constant_folds c H) IH).
    now apply div_divides_by.
Qed.

Lemma plain_sum l acc t : finite_term t -> sum l (value_of acc) ->
  sum (term_of t :: l) (value_of (plain acc t)).
Proof.
  intros F H. destruct t as [fs x].
  apply (sum_reordered (l ++ [term_of (fs, x)])); [symmetry; apply Permutation_cons_append|].
  exact (sum_adds l _ _ _ _ H (scaled_sum fs x F) (plus_adds m Hm _ _)).
Qed.

Lemma fused_sum l acc t : finite_term t -> sum l (value_of acc) ->
  sum (term_of t :: l) (value_of (fused acc t)).
Proof.
  intros F H. destruct t as [[|[c|c] fs] x]; try exact (plain_sum l acc _ F H). destruct F as [F X].
  inversion_clear F as [|? ? Hc F'].
  exact (sum_fuses [Times (real_of c)] [term_of (fs, x)]
    l (value_of c) _ _ _ ltac:(discriminate) (constant_folds c Hc)
    (scaled_sum fs x (conj F' X)) H (fma_fuses m Hm c _ acc)).
Qed.

(** ** Loops *)

Definition steps_right (step : binary32 -> float_term -> binary32) : Prop :=
  forall l acc t, finite_term t -> sum l (value_of acc) ->
    sum (term_of t :: l) (value_of (step acc t)).

Theorem loop_sum step l start l0 : steps_right step -> Forall finite_term l ->
  sum l0 (value_of start) ->
  sum (map term_of l ++ l0) (value_of (fold_left step l start)).
Proof.
  intros S F. revert start l0. induction F as [|t l Ht _ IH]; intros start l0 H; [exact H|].
  cbn [map fold_left app].
  apply (sum_reordered (map term_of l ++ term_of t :: l0)); [symmetry; apply Permutation_middle|].
  apply IH. now apply S.
Qed.

(** A loop over the terms, from the bias [b], and from 0. *)
Theorem left_to_right l b : Forall finite_term l -> finite b = true ->
  sum (map term_of l ++ [([], real_of b)]) (value_of (fold_left plain l b)) /\
  sum (map term_of l) (value_of (fold_left plain l zero)).
Proof.
  intros F B. split; [apply loop_sum; [exact plain_sum|exact F|now apply number_sum]|].
  rewrite <- (app_nil_r (map term_of l)). apply loop_sum; [exact plain_sum|exact F|exact zero_sum].
Qed.

Theorem fused_left_to_right l b : Forall finite_term l -> finite b = true ->
  sum (map term_of l ++ [([], real_of b)]) (value_of (fold_left fused l b)) /\
  sum (map term_of l) (value_of (fold_left fused l zero)).
Proof.
  intros F B. split; [apply loop_sum; [exact fused_sum|exact F|now apply number_sum]|].
  rewrite <- (app_nil_r (map term_of l)). apply loop_sum; [exact fused_sum|exact F|exact zero_sum].
Qed.

(** The shortcut [y] is added to the result of a loop, as the file is written. *)
Theorem as_written step l start l0 y : steps_right step -> Forall finite_term l ->
  finite y = true -> sum l0 (value_of start) ->
  sum ((map term_of l ++ l0) ++ [shortcut y]) (value_of (b32_plus m (fold_left step l start) y)).
Proof.
  intros S F Y H. exact (sum_adds _ _ _ _ _ (loop_sum step l start l0 S F H) (shortcut_sum y Y)
    (plus_adds m Hm _ _)).
Qed.

(** The loop starts from the shortcut. *)
Theorem shortcut_first step l y : steps_right step -> Forall finite_term l -> finite y = true ->
  sum (map term_of l ++ [shortcut y]) (value_of (fold_left step l y)).
Proof. intros S F Y. apply loop_sum; [exact S|exact F|now apply shortcut_sum]. Qed.

(** It is added after some of the terms. *)
Theorem shortcut_between step l1 l2 start l0 y : steps_right step ->
  Forall finite_term (l1 ++ l2) -> finite y = true ->
  sum l0 (value_of start) ->
  sum (map term_of l2 ++ (map term_of l1 ++ l0) ++ [shortcut y])
      (value_of (fold_left step l2 (b32_plus m (fold_left step l1 start) y))).
Proof.
  intros S F Y H. apply Forall_app in F. destruct F as [F1 F2].
  apply loop_sum; [exact S|exact F2|]. now apply as_written.
Qed.

(** Numbers that are divided by [c] before they are multiplied: [w * (x / c)]. *)
Theorem divided_before step l c start l0 : steps_right step -> finite c = true ->
  Forall (fun p => finite (fst p) = true /\ finite (snd p) = true) l -> sum l0 (value_of start) ->
  sum (map (fun p => ([Times (real_of (fst p)); Over (real_of c)], real_of (snd p))) l ++ l0)
      (value_of (fold_left (fun acc p => step acc ([By (fst p); DividedBy c], snd p)) l start)).
Proof.
  intros S C F H. assert (E : forall k a, fold_left (fun acc p =>
    step acc ([By (fst p); DividedBy c], snd p)) k a =
    fold_left step (map (fun p => ([By (fst p); DividedBy c], snd p)) k) a).
  { induction k as [|p k IH]; intros a; [reflexivity|]. cbn [fold_left map]. apply IH. }
  rewrite E. assert (T : map (fun p => ([Times (real_of (fst p));
    Over (real_of c)], real_of (snd p))) l =
    map term_of (map (fun p => ([By (fst p); DividedBy c], snd p)) l)) by now rewrite map_map.
  rewrite T. apply loop_sum; [exact S| |exact H]. apply Forall_forall. intros t Ht.
  apply in_map_iff in Ht. destruct Ht as (p & <- & Hp).
  rewrite Forall_forall in F. destruct (F p Hp) as [F1 F2]. split; [|exact F2].
  repeat constructor; assumption.
Qed.

(** The weights were divided by [c] beforehand: [(w / c) * x]. *)
Theorem divided_weights l c start l0 : finite c = true ->
  Forall (fun p => finite (fst p) = true /\ finite (snd p) = true) l -> sum l0 (value_of start) ->
  let terms := map (fun p => ([Times (real_of (fst p));
    Over (real_of c)], real_of (snd p))) l ++ l0 in
  sum terms (value_of (fold_left (fun acc p =>
    b32_plus m acc (b32_mult m (b32_div m (fst p) c) (snd p))) l start)) /\
  sum terms (value_of (fold_left (fun acc p =>
    b32_fma m (b32_div m (fst p) c) (snd p) acc) l start)).
Proof.
  intros C F H terms. assert (D : forall w, finite w = true ->
    folds ([Over (real_of c); Times (real_of w)]) (value_of (b32_div m w c))).
  { intros w W. exact (folds_quotient [Times (real_of w)] [real_of c]
      (value_of w) (value_of c) _ (constant_folds w W)
      (constant_folds c C) (div_divides_by m Hm c w)). }
  assert (T : forall w x k acc, sum (([Over (real_of c); Times (real_of w)], real_of x) :: k) acc ->
    sum (([Times (real_of w); Over (real_of c)], real_of x) :: k) acc).
  { intros w x k acc Hk. refine (sum_any_order _ _ _ _ (Permutation_refl _) _ Hk). constructor;
      [|apply alike_refl].
    split; [apply perm_swap|reflexivity]. }
  assert (L : forall step, (forall k acc w x, finite w = true -> finite x = true ->
    sum k (value_of acc) ->
      sum (([Times (real_of w); Over (real_of c)], real_of x) :: k) (value_of (step acc (w, x)))) ->
    sum terms (value_of (fold_left step l start))).
  { intros step S. unfold terms. clear terms. revert start l0 H. induction F as [|[w x] l [W X]
      _ IH]; intros start l0 H; [exact H|].
    cbn [map fold_left app fst snd] in *.
    eapply sum_reordered; [symmetry; apply Permutation_middle|]. apply IH. now apply S. }
  split; apply L; clear L; intros k acc w x W X Hk; apply T; cbn [fst snd].
  - apply (sum_reordered (k ++ [([Over (real_of c); Times (real_of w)], real_of x)]));
      [symmetry; apply Permutation_cons_append|].
    apply (sum_adds k _ _ _ _ Hk) with (2 := plus_adds m Hm _ _).
    exact (sum_times _ [([], real_of x)]
      _ _ _ ltac:(discriminate) (D w W) (number_sum x X) (mult_multiplies m Hm _ _)).
  - exact (sum_fuses _ [([], real_of x)]
      k _ _ _ _ ltac:(discriminate) (D w W) (number_sum x X) Hk (fma_fuses m Hm _ x acc)).
Qed.
End Loops.
