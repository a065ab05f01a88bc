(** * Enclosures of curves and slopes between the points of a table

    The checker tabulates sigmoid, sigmoid', SiLU and SiLU' at the points [k / 64] and encloses them
    on a range by the values at the table's points around it, and by one constant where the range
    may hold an extremum. For integers [low <= high] and any [t] in [[low / 64, high / 64]]:

    - [sigmoid_enclosed], [sigmoid'_enclosed]: between the values at both ends, or up to 1/4 around
      0;
    - [silu_enclosed]: at most the larger value at the ends; at least the smaller one, or -0.27847;
    - [silu'_enclosed]: between the values at the ends, or down to -0.09984 and up to 1.09984;
    - [silu'_tails], [silu_le]: beyond the table.

    Rests on Slopes.v and Interval (five numbers). Stands behind [silu_slopes], [silu_values],
    [sigmoid_slopes] and [sigmoid_values] of enclosure.py, for tables whose entries are right. *)

From Coq Require Import Reals Lra Lia ZArith.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Tactic.
From Lastbit Require Import Statement curves.Slopes.
Open Scope R_scope.

Definition point (k : Z) : R := IZR k / 64.

(** ** Monotone pieces *)

Lemma slope_continuous f df z : slope_of f df -> continuity_pt f z.
Proof. intros D. apply continuity_pt_filterlim, (ex_derive_continuous f). eexists; apply D. Qed.

Lemma increases f df a b : slope_of f df -> (forall t, a <= t <= b -> 0 <= df t) ->
  a <= b -> f a <= f b.
Proof.
  intros D H Hab. destruct (MVT_gen f a b df) as (c & Hc & E).
  - intros t _. apply D.
  - intros t _. now apply (slope_continuous f df).
  - rewrite Rmin_left, Rmax_right in Hc by exact Hab.
    assert (0 <= df c * (b - a)) by (apply Rmult_le_pos; [now apply H|lra]). lra.
Qed.

Lemma decreases f df a b : slope_of f df -> (forall t, a <= t <= b -> df t <= 0) ->
  a <= b -> f b <= f a.
Proof.
  intros D H Hab. destruct (MVT_gen f a b df) as (c & Hc & E).
  - intros t _. apply D.
  - intros t _. now apply (slope_continuous f df).
  - rewrite Rmin_left, Rmax_right in Hc by exact Hab. specialize (H c Hc).
    assert (0 <= - df c * (b - a)) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma sigmoid_increases a b : a <= b -> sigmoid a <= sigmoid b.
Proof.
  intros H. apply (increases _ _ a b sigmoid_derive); [|exact H]. intros.
  apply Rlt_le, sigmoid'_pos.
Qed.

Lemma sigmoid_half z : (z <= 0 -> sigmoid z <= / 2) /\ (0 <= z -> / 2 <= sigmoid z).
Proof. split; intros H; rewrite <- sigmoid_0; now apply sigmoid_increases. Qed.

Definition sigmoid'' (z : R) : R := sigmoid' z * (1 - 2 * sigmoid z).

Lemma sigmoid'_derive : slope_of sigmoid' sigmoid''.
Proof.
  intros z. unfold sigmoid'', sigmoid', sigmoid. assert (H := denominator z).
  auto_derive; [repeat split; lra|]. field. lra.
Qed.

Definition silu'' (z : R) : R := sigmoid' z * (2 - z * (2 * sigmoid z - 1)).

Lemma silu'_derive : slope_of silu' silu''.
Proof.
  intros z. unfold silu'', silu', sigmoid', sigmoid. assert (H := denominator z).
  auto_derive; [repeat split; lra|]. field. lra.
Qed.

(** [z (2 sigmoid z - 1)] is even and grows with [|z|]; it is 2 between 153/64 and 154/64. *)
Definition bendiness (z : R) : R := z * (2 * sigmoid z - 1).

Lemma bendiness_opp z : bendiness (- z) = bendiness z.
Proof. unfold bendiness. rewrite sigmoid_opp. ring. Qed.

Lemma bendiness_grows a b : 0 <= a <= b -> bendiness a <= bendiness b.
Proof.
  intros [Ha Hab]. unfold bendiness. assert (H := sigmoid_increases a b Hab).
  assert (K := proj2 (sigmoid_half a) Ha). apply Rmult_le_compat; lra.
Qed.

Lemma bendiness_153 : bendiness (153 / 64) <= 2.
Proof. unfold bendiness, sigmoid. interval with (i_prec 60). Qed.

Lemma bendiness_154 : 2 <= bendiness (154 / 64).
Proof. unfold bendiness, sigmoid. interval with (i_prec 60). Qed.

Lemma silu'_rises c a b : 0 <= c -> bendiness c <= 2 -> - c <= a -> a <= b -> b <= c ->
  silu' a <= silu' b.
Proof.
  intros Hc Bc Ha Hab Hb. apply (increases _ _ a b silu'_derive); [|exact Hab]. intros t Ht.
  apply Rmult_le_pos; [apply Rlt_le, sigmoid'_pos|]. fold (bendiness t).
  destruct (Rle_or_lt 0 t) as [L|L].
  - generalize (bendiness_grows t c ltac:(lra)). lra.
  - generalize (bendiness_grows (- t) c ltac:(lra)). rewrite bendiness_opp. lra.
Qed.

Lemma silu'_falls a b : 0 <= a -> 2 <= bendiness a -> a <= b -> silu' b <= silu' a.
Proof.
  intros Ha B Hab. apply (decreases _ _ a b silu'_derive); [|exact Hab]. intros t Ht.
  assert (G := bendiness_grows a t ltac:(lra)).
  unfold silu''. fold (bendiness t). assert (P := sigmoid'_pos t).
  assert (0 <= sigmoid' t * (bendiness t - 2)) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma silu'_falls_left a b : a <= b -> b <= -154 / 64 -> silu' b <= silu' a.
Proof.
  intros Hab Hb. assert (B := bendiness_154).
  assert (G := bendiness_grows (154 / 64) (- b) ltac:(lra)).
  assert (K := silu'_falls (- b) (- a) ltac:(lra) ltac:(lra) ltac:(lra)). rewrite !silu'_opp in K.
  lra.
Qed.

(** [z (1 - sigmoid z)] is -1 between -82/64 and -81/64, where SiLU has its minimum. *)
Lemma silu'_factor a b : a <= b -> b <= 0 -> a * (1 - sigmoid a) <= b * (1 - sigmoid b).
Proof.
  intros Hab Hb. assert (H := sigmoid_increases a b Hab). assert (S := sigmoid_01 b).
  assert (K : - b * (1 - sigmoid b) <= - a * (1 - sigmoid a)) by (apply Rmult_le_compat; lra). lra.
Qed.

Lemma silu_falls a b : a <= b -> b <= 0 -> b * (1 - sigmoid b) <= -1 -> silu b <= silu a.
Proof.
  intros Hab Hb B. apply (decreases _ _ a b silu_derive); [|exact Hab]. intros t Ht.
  assert (F := silu'_factor t b ltac:(lra) ltac:(lra)). unfold silu'. assert (S := sigmoid_01 t).
  assert (0 <= sigmoid t * - (1 + t * (1 - sigmoid t))) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma silu_rises a b : a <= 0 -> -1 <= a * (1 - sigmoid a) -> a <= b -> silu a <= silu b.
Proof.
  intros Ha B Hab. apply (increases _ _ a b silu_derive); [|exact Hab]. intros t Ht.
  unfold silu'. assert (S := sigmoid_01 t). apply Rmult_le_pos; [lra|].
  destruct (Rle_or_lt t 0) as [L|L].
  - generalize (silu'_factor a t ltac:(lra) L). lra.
  - assert (0 <= t * (1 - sigmoid t)) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma factor_82 : -82 / 64 * (1 - sigmoid (-82 / 64)) <= -1.
Proof. unfold sigmoid. interval with (i_prec 60). Qed.

Lemma factor_81 : -1 <= -81 / 64 * (1 - sigmoid (-81 / 64)).
Proof. unfold sigmoid. interval with (i_prec 60). Qed.

Lemma silu_left a b : a <= b -> b <= -82 / 64 -> silu b <= silu a.
Proof.
  intros Hab Hb. apply silu_falls; [exact Hab|lra|].
  generalize factor_82 (silu'_factor b (-82 / 64) Hb ltac:(lra)). lra.
Qed.

Lemma silu_right a b : -81 / 64 <= a -> a <= b -> silu a <= silu b.
Proof.
  intros Ha Hab. destruct (Rle_or_lt a 0) as [L|L].
  - apply silu_rises; [exact L| |exact Hab]. generalize factor_81 (silu'_factor (-81 / 64) a Ha L).
    lra.
  - apply (increases _ _ a b silu_derive); [|exact Hab]. intros t Ht. unfold silu'.
    assert (S := sigmoid_01 t). assert (0 <= t * (1 - sigmoid t)) by (apply Rmult_le_pos; lra).
    apply Rmult_le_pos; lra.
Qed.

Lemma silu_valley t : -82 / 64 <= t <= -81 / 64 -> -0.27847 <= silu t.
Proof. intros H. unfold silu, sigmoid. interval with (i_bisect t, i_prec 60). Qed.

(** ** The rules *)

Lemma point_opp k : point (- k) = - point k.
Proof. unfold point. rewrite opp_IZR. field. Qed.

Lemma Rmin_opp a b c : Rmin (1 - b) (1 - a) <= 1 - c -> c <= Rmax a b.
Proof. unfold Rmin, Rmax. repeat destruct Rle_dec; lra. Qed.

(** SiLU' has its least value at an end, unless the range may hold its minimum near -2.3994. *)
Lemma silu'_least low high t : point low <= t <= point high -> (-153 < low)%Z \/ (high < -154)%Z ->
  Rmin (silu' (point low)) (silu' (point high)) <= silu' t.
Proof.
  intros Ht [H|H].
  - assert (L : -152 / 64 <= point low)
      by (unfold point; assert (-152 <= IZR low) by (apply IZR_le; lia); lra).
    destruct (Rle_or_lt t (153 / 64)) as [A|A].
    + apply Rle_trans with (1 := Rmin_l _ _). apply (silu'_rises (153 / 64)); try lra.
      apply bendiness_153.
    + destruct (Rle_or_lt (bendiness t) 2) as [B|B].
      * apply Rle_trans with (1 := Rmin_l _ _). apply (silu'_rises t); lra.
      * apply Rle_trans with (1 := Rmin_r _ _). apply silu'_falls; lra.
  - apply Rle_trans with (1 := Rmin_r _ _). apply silu'_falls_left; [lra|].
    unfold point. assert (IZR high <= -155) by (apply IZR_le; lia). lra.
Qed.

Section Cell.
Variables (low high : Z) (t : R).
Hypothesis Ht : point low <= t <= point high.

Theorem sigmoid_enclosed : sigmoid (point low) <= sigmoid t <= sigmoid (point high).
Proof. split; apply sigmoid_increases; lra. Qed.

(* map: likewise the slopes of sigmoid *)
Theorem sigmoid'_enclosed :
  Rmin (sigmoid' (point low)) (sigmoid' (point high)) <= sigmoid' t /\
  ((low <= 0 <= high)%Z \/ sigmoid' t <= Rmax (sigmoid' (point low)) (sigmoid' (point high))).
Proof.
  assert (Up : forall a b, a <= b -> b <= 0 -> sigmoid' a <= sigmoid' b).
  { intros a b Hab Hb. apply (increases _ _ a b sigmoid'_derive); [|exact Hab]. intros s Hs.
    apply Rmult_le_pos; [apply Rlt_le, sigmoid'_pos|].
    generalize (proj1 (sigmoid_half s) ltac:(lra)). lra. }
  assert (Down : forall a b, 0 <= a -> a <= b -> sigmoid' b <= sigmoid' a).
  { intros a b Ha Hab. apply (decreases _ _ a b sigmoid'_derive); [|exact Hab]. intros s Hs.
    unfold sigmoid''. generalize (proj2 (sigmoid_half s) ltac:(lra)) (sigmoid'_pos s). intros K P.
    assert (0 <= sigmoid' s * (2 * sigmoid s - 1)) by (apply Rmult_le_pos; lra). lra. }
  split.
  - destruct (Rle_or_lt t 0) as [L|L].
    + apply Rle_trans with (1 := Rmin_l _ _). apply Up; lra.
    + apply Rle_trans with (1 := Rmin_r _ _). apply Down; lra.
  - destruct (Z.le_gt_cases low 0) as [A|A];
      [destruct (Z.le_gt_cases 0 high) as [B|B]; [now left|]|]; right.
    + apply Rle_trans with (2 := Rmax_r _ _). apply Up; [lra|]. unfold point. apply IZR_lt in B.
      lra.
    + apply Rle_trans with (2 := Rmax_l _ _). apply Down; [|lra]. unfold point.
      assert (0 <= IZR low) by (apply IZR_le; lia). lra.
Qed.

(* map: SiLU between the points of a table, and beyond it *)
Theorem silu_enclosed :
  silu t <= Rmax (silu (point low)) (silu (point high)) /\ -0.27847 <= silu t /\
  ((low <= -81 /\ -82 <= high)%Z \/ Rmin (silu (point low)) (silu (point high)) <= silu t).
Proof.
  assert (V1 : -0.27847 <= silu (-82 / 64)) by (apply silu_valley; lra).
  assert (V2 : -0.27847 <= silu (-81 / 64)) by (apply silu_valley; lra).
  split; [|split].
  - destruct (Rle_or_lt t (-82 / 64)) as [L|L].
    + apply Rle_trans with (2 := Rmax_l _ _). apply silu_left; lra.
    + destruct (Rle_or_lt (t * (1 - sigmoid t)) (-1)) as [G|G].
      * apply Rle_trans with (2 := Rmax_l _ _).
        destruct (Rle_or_lt t 0) as [N|N]; [apply silu_falls; lra|]. assert (S := sigmoid_01 t).
        assert (0 <= t * (1 - sigmoid t)) by (apply Rmult_le_pos; lra). lra.
      * apply Rle_trans with (2 := Rmax_r _ _).
        destruct (Rle_or_lt t 0) as [N|N]; [apply silu_rises; lra|]. apply silu_right; lra.
  - destruct (Rle_or_lt t (-82 / 64)) as [L|L];
      [generalize (silu_left t (-82 / 64) L ltac:(lra)); lra|].
    destruct (Rle_or_lt (-81 / 64) t) as [G|G];
      [generalize (silu_right (-81 / 64) t ltac:(lra) G); lra|].
    apply silu_valley. lra.
  - destruct (Z.le_gt_cases low (-81)) as [A|A].
    + destruct (Z.le_gt_cases (-82) high) as [B|B]; [now left|right].
      apply Rle_trans with (1 := Rmin_r _ _). apply silu_left; [lra|]. apply IZR_lt in B.
      unfold point. lra.
    + right. apply Rle_trans with (1 := Rmin_l _ _). apply silu_right; [|lra]. apply IZR_lt in A.
      unfold point. lra.
Qed.

(* map: likewise the slopes of SiLU *)
Theorem silu'_enclosed :
  ((low <= -153 /\ -154 <= high)%Z \/ Rmin (silu' (point low)) (silu' (point high)) <= silu' t) /\
  ((low <= 154 /\ 153 <= high)%Z \/ silu' t <= Rmax (silu' (point low)) (silu' (point high))).
Proof.
  split.
  - destruct (Z.le_gt_cases low (-153)) as [A|A];
      [destruct (Z.le_gt_cases (-154) high) as [B|B]; [now left|]|]; right.
    + apply silu'_least; [exact Ht|right; lia].
    + apply silu'_least; [exact Ht|left; lia].
  - destruct (Z.le_gt_cases low 154) as [A|A];
      [destruct (Z.le_gt_cases 153 high) as [B|B]; [now left|]|]; right.
    + apply Rmin_opp. rewrite <- !silu'_opp, <- !point_opp.
      apply silu'_least; [rewrite !point_opp; lra|left; lia].
    + apply Rmin_opp. rewrite <- !silu'_opp, <- !point_opp.
      apply silu'_least; [rewrite !point_opp; lra|right; lia].
Qed.
End Cell.

(** ** Beyond the table *)

(** Far left SiLU' lies between its value at the last point and 0; far right between 1 and its
    value. *)
Theorem silu'_tails z : (z <= -24 -> silu' (-24) <= silu' z <= 0) /\
  (24 <= z -> 1 <= silu' z <= silu' 24).
Proof.
  assert (Left : forall s, s <= -24 -> silu' (-24) <= silu' s <= 0).
  { intros s Hs. split; [apply silu'_falls_left; lra|]. unfold silu'. assert (S := sigmoid_01 s).
    assert (H := proj1 (sigmoid_half s) ltac:(lra)).
    assert (24 * / 2 <= - s * (1 - sigmoid s)) by (apply Rmult_le_compat; lra).
    assert (0 <= sigmoid s * - (1 + s * (1 - sigmoid s))) by (apply Rmult_le_pos; lra). lra. }
  split; [apply Left|]. intros H. destruct (Left (- z) ltac:(lra)) as [L1 L2].
  rewrite silu'_opp in L1, L2.
  assert (K : silu' (-24) = 1 - silu' 24) by (rewrite <- silu'_opp; f_equal; lra). lra.
Qed.

Theorem silu_le z : silu z <= Rmax z 0.
Proof.
  unfold silu. assert (S := sigmoid_01 z). destruct (Rle_or_lt z 0) as [L|L].
  - rewrite Rmax_right by exact L. assert (0 <= - z * sigmoid z) by (apply Rmult_le_pos; lra). lra.
  - rewrite Rmax_left by lra. assert (z * sigmoid z <= z * 1) by (apply Rmult_le_compat_l; lra).
    lra.
Qed.
